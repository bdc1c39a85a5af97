from local_cluster.status import Status, lines


def status(*, missing: tuple[str, ...] = (), cuts: tuple[str, ...] = ()) -> Status:
    return Status(
        name="berlin",
        ready=not missing,
        missing=missing,
        kubeconfig="/k/kubeconfig",
        kubectl="/k/kubectl",
        audit_log="/k/audit.log",
        logs="/k/logs",
        containerd_socket="/k/containerd.sock",
        network_namespace="ms-abc-berlin",
        node_address="10.218.3.7",
        pod_network="10.219.7.0/24",
        service_network="10.220.7.0/24",
        cuts_between_sites=cuts,
    )


def test_a_ready_cluster_shows_what_one_needs_to_use_it():
    assert lines([status()], []) == [
        "berlin: ready",
        "  kubeconfig    /k/kubeconfig",
        "  addresses     node 10.218.3.7, pods 10.219.7.0/24, services 10.220.7.0/24",
    ]


def test_a_broken_cluster_says_what_is_missing_and_the_way_out():
    text = lines([status(missing=("etcd", "kubelet"))], [])
    assert text[0] == "berlin: not ready, repair with `up berlin`"
    assert text[1] == "  not running   etcd, kubelet"


def test_cuts_are_shown_where_they_are():
    text = lines([status(cuts=("berlin > hamburg",))], ["berlin > leipzig"])
    assert text[-2:] == ["  cut           berlin > hamburg", "cut: berlin > leipzig"]


def test_no_cluster_says_how_to_get_one():
    assert lines([], []) == ["no clusters; start one with `up`"]
