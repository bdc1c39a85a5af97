"""One seed is one plan, and taking something out of it leaves the rest as it was."""

from dataclasses import replace

from tests.chaos.circumstances import skew_microseconds
from tests.chaos.faults import line_condition, servers_down
from tests.chaos.proxy import WELL, Condition
from tests.chaos.scenario import FAULTS, MEMBERSHIP, SCHEMA_SITE, Fault, Scenario, schedule
from tests.chaos.shrink import shrink
from tests.chaos.workload import script


def test_a_seed_draws_the_same_every_time() -> None:
    scenario = Scenario.draw(5)
    assert Scenario.draw(5) == scenario
    assert schedule(scenario) == schedule(Scenario.draw(5))
    assert list(script(scenario, 1, 1)) == list(script(scenario, 1, 1))


def test_seeds_differ() -> None:
    assert len({str(Scenario.draw(seed)) for seed in range(100)}) == 100


def test_every_kind_of_fault_is_drawn() -> None:
    drawn = [Scenario.draw(seed) for seed in range(50)]
    assert all(any(scenario.count(kind) for scenario in drawn) for kind in FAULTS)


def test_few_histories_have_members_that_come_and_go_and_then_of_one_kind() -> None:
    kinds = [sum(Scenario.draw(seed).count(kind) > 0 for kind in MEMBERSHIP) for seed in range(300)]
    assert set(kinds) == {0, 1}
    assert 0.2 < sum(kinds) / len(kinds) < 0.5


def test_new_sites_have_numbers_of_their_own_and_the_schema_site_stays() -> None:
    for seed in range(50):
        faults = schedule(Scenario(seed, sites=3, joins=2, leaves=2))
        assert {fault.sites[0] for fault in faults if fault.kind == "joins"} == {4, 5}
        assert SCHEMA_SITE not in {fault.sites[0] for fault in faults if fault.kind == "leaves"}


def test_a_scenario_is_read_as_it_is_printed() -> None:
    scenario = Scenario.draw(7)
    assert Scenario.read(str(scenario)) == scenario


def test_faults_and_clients_of_a_smaller_scenario_are_those_of_the_larger() -> None:
    large = Scenario(3, transactions=20, cuts=3, kills=2)
    small = replace(large, transactions=10, cuts=2, kills=0)
    assert set(schedule(small)) < set(schedule(large))
    assert list(script(small, 2, 1)) == list(script(large, 2, 1))[:10]


def test_no_statement_writes_the_token_of_another() -> None:
    scenario = Scenario(1, clients=2, transactions=50)
    tokens = [
        statement.token
        for site in (1, 2)
        for client in (1, 2)
        for transaction in script(scenario, site, client)
        for part in transaction.parts
        for statement in part.statements
        if statement.token
    ]
    assert len(tokens) == len(set(tokens)) > 100


def test_a_cut_concerns_one_direction_and_a_parting_both() -> None:
    cut, parting = Fault("cuts", 0, 1, (1, 2)), Fault("partings", 0, 1, (1, 2))
    assert line_condition([cut], 1, 2).is_cut
    assert line_condition([cut], 2, 1) == WELL
    assert line_condition([parting], 2, 1).is_cut


def test_an_isolated_site_is_cut_from_all_both_ways() -> None:
    isolated = Fault("isolations", 0, 1, (3, 1))
    assert all(line_condition([isolated], *line).is_cut for line in ((1, 3), (3, 1), (2, 3), (3, 2)))
    assert line_condition([isolated], 1, 2) == WELL


def test_faults_overlap() -> None:
    active = [
        Fault("hangs", 0, 1, (1, 2)),
        Fault("slow_links", 0, 1, (1, 2), 0.1),
        Fault("slow_links", 0, 1, (1, 2), 0.05),
    ]
    assert line_condition(active, 1, 2) == Condition(is_silent=True, delay_seconds=0.1)
    assert servers_down([Fault("kills", 0, 1, (2, 1)), Fault("kills", 0, 1, (2, 3))]) == {2}
    assert skew_microseconds([Fault("skews", 0, 1, (1, 2), 60.0), Fault("skews", 0, 1, (1, 2), -1.5)], 1) == 58_500_000


def test_what_fails_shrinks_to_what_it_takes() -> None:
    failing = Scenario(1, sites=5, clients=3, transactions=40, cuts=3, kills=3, skews=2)
    small = shrink(failing, lambda scenario: scenario.transactions >= 7 and scenario.kills >= 1)
    assert small == Scenario(1, sites=2, clients=1, transactions=7, kills=1)


def test_shrinking_ends_after_so_many_runs() -> None:
    tried: list[Scenario] = []
    shrink(Scenario.draw(2), lambda scenario: bool(tried.append(scenario)), runs=5)
    assert len(tried) == 5
