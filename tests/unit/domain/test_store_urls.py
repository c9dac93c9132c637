import pytest

from squire_pipelines.domain.store_urls import check_key, check_prefix, check_store_url, shown_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", ""),
        ("file:///mnt/shared/squire/", "file:///mnt/shared/squire"),
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/a/prefix/", "s3://bucket/a/prefix"),
        ("gs://bucket/squire", "gs://bucket/squire"),
    ],
)
def test_a_folder_or_a_bucket_is_a_store(text: str, url: str) -> None:
    assert check_store_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        *(
            "/mnt/shared",
            "file://",
            "file:///",
            "file://host/mnt",
            "http://example.com/x",
            "s3:bucket",
            "s3://",
            "s3:///x",
        ),
        *("s3://hunter22:key@bucket/x", "s3://bucket/x?key=hunter22", "s3://bucket#hunter22", "s3://[hunter22"),
    ],
)
def test_anything_else_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="looks like") as caught:
        check_store_url(text)
    assert "hunter22" not in str(caught.value)


def test_a_url_is_shown_without_what_may_be_secret() -> None:
    assert shown_url("s3://key:secret@bucket/x?token=1") == "s3://bucket/x"


@pytest.mark.parametrize("key", ["a", "attempts/t1-1/keep/result.bundle", "archive/tasks/2026-01-01-0.parquet"])
def test_a_name_in_a_store_has_parts(key: str) -> None:
    assert check_key(key) == key
    assert check_prefix(f"{key}/") == f"{key}/"


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a//b", "../a", "a/..", ".hidden", "a/.part", "a b", "é", "a\n", "a" * 201]
)
def test_what_could_lead_out_of_a_store_is_no_name(key: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        check_key(key)


@pytest.mark.parametrize("prefix", ["a", "/", "../", "a/../"])
def test_what_could_lead_out_of_a_store_is_no_prefix(prefix: str) -> None:
    with pytest.raises(ValueError, match="no "):
        check_prefix(prefix)
