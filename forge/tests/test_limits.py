from graphql import get_operation_ast, parse

from squire_forge.limits import RateLimits, headers, query_cost


def _cost(query: str, **variables: object) -> int:
    document = parse(query)
    operation = get_operation_ast(document)
    assert operation is not None
    return query_cost(document, operation, variables)


def test_spending_counts_down_until_the_window_ends() -> None:
    now = 1_000.0
    limits = RateLimits(limit=10, clock=lambda: now)
    assert limits.spend("core", 4).remaining == 6
    assert limits.spend("core", 7).remaining == 0
    assert limits.peek("graphql").remaining == 10
    now += 3_600
    assert limits.peek("core").remaining == 10


def test_headers_name_the_resource_and_never_more_than_the_limit() -> None:
    limits = RateLimits(limit=3, clock=lambda: 0.0)
    sent = headers("core", limits.spend("core", 5))
    assert sent == {
        "x-ratelimit-limit": "3",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": "3600",
        "x-ratelimit-used": "3",
        "x-ratelimit-resource": "core",
    }


def test_a_small_query_costs_one_point() -> None:
    assert _cost("{ viewer { login } }") == 1


def test_nested_connections_cost_by_their_parents() -> None:
    query = """
      query($n: Int!) { repository(owner: "a", name: "b") { pullRequests(first: $n) { nodes { ...P } } } }
      fragment P on PullRequest {
        comments(last: 10) { nodes { id } }
        ... on PullRequest { reviewThreads(first: 50) { nodes { comments(first: 5) { totalCount } } } }
      }"""
    # 1 for pull requests, 100 each for comments and threads, 100 * 50 for the threads' comments
    assert _cost(query, n=100) == 52


def test_a_fragment_that_contains_itself_ends() -> None:
    assert _cost("{ ...A } fragment A on Query { ...A issues(first: 1) { id } }") >= 1
