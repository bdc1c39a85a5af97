from multiserver.identity.passwords import make_passphrase, make_password


def test_secrets_need_no_quoting_anywhere_and_never_repeat():
    made = [make() for make in (make_password, make_passphrase) for _ in range(50)]
    assert all(secret.isascii() and secret.isalnum() for secret in made)
    assert len(set(made)) == len(made)
    assert {len(secret) for secret in made} == {32, 64}
