"""The addresses and address templates in GitHub's REST bodies. Pure."""


def user_urls(web: str, api: str, login: str) -> dict[str, object]:
    """Return the addresses in a user's body."""
    base = f"{api}/users/{login}"
    return {
        "avatar_url": f"{web}/avatars/{login}",
        "gravatar_id": "",
        "url": base,
        "html_url": f"{web}/{login}",
        "followers_url": f"{base}/followers",
        "following_url": f"{base}/following{{/other_user}}",
        "gists_url": f"{base}/gists{{/gist_id}}",
        "starred_url": f"{base}/starred{{/owner}}{{/repo}}",
        "subscriptions_url": f"{base}/subscriptions",
        "organizations_url": f"{base}/orgs",
        "repos_url": f"{base}/repos",
        "events_url": f"{base}/events{{/privacy}}",
        "received_events_url": f"{base}/received_events",
    }


_REPOSITORY_TEMPLATES = {
    "forks_url": "/forks",
    "keys_url": "/keys{/key_id}",
    "collaborators_url": "/collaborators{/collaborator}",
    "teams_url": "/teams",
    "hooks_url": "/hooks",
    "issue_events_url": "/issues/events{/number}",
    "events_url": "/events",
    "assignees_url": "/assignees{/user}",
    "branches_url": "/branches{/branch}",
    "tags_url": "/tags",
    "blobs_url": "/git/blobs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "trees_url": "/git/trees{/sha}",
    "statuses_url": "/statuses/{sha}",
    "languages_url": "/languages",
    "stargazers_url": "/stargazers",
    "contributors_url": "/contributors",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "commits_url": "/commits{/sha}",
    "git_commits_url": "/git/commits{/sha}",
    "comments_url": "/comments{/number}",
    "issue_comment_url": "/issues/comments{/number}",
    "contents_url": "/contents/{+path}",
    "compare_url": "/compare/{base}...{head}",
    "merges_url": "/merges",
    "archive_url": "/{archive_format}{/ref}",
    "downloads_url": "/downloads",
    "issues_url": "/issues{/number}",
    "pulls_url": "/pulls{/number}",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "labels_url": "/labels{/name}",
    "releases_url": "/releases{/id}",
    "deployments_url": "/deployments",
}


def repository_urls(web: str, api: str, full_name: str) -> dict[str, object]:
    """Return the addresses in a repository's body."""
    base, page = f"{api}/repos/{full_name}", f"{web}/{full_name}"
    host = web.split("://", 1)[1]
    return {
        "url": base,
        "html_url": page,
        **{key: base + template for key, template in _REPOSITORY_TEMPLATES.items()},
        "git_url": f"git://{host}/{full_name}.git",
        "ssh_url": f"git@{host.split(':')[0]}:{full_name}.git",
        "clone_url": f"{page}.git",
        "svn_url": page,
    }


def pull_urls(web: str, api: str, full_name: str, number: int, head_sha: str) -> dict[str, object]:
    """Return the addresses in a pull request's body, `_links` included."""
    repo = f"{api}/repos/{full_name}"
    pull, page = f"{repo}/pulls/{number}", f"{web}/{full_name}/pull/{number}"
    urls = {
        "url": pull,
        "html_url": page,
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        "issue_url": f"{repo}/issues/{number}",
        "commits_url": f"{pull}/commits",
        "review_comments_url": f"{pull}/comments",
        "review_comment_url": f"{repo}/pulls/comments{{/number}}",
        "comments_url": f"{repo}/issues/{number}/comments",
        "statuses_url": f"{repo}/statuses/{head_sha}",
    }
    links = {
        "self": pull,
        "html": page,
        **{
            name: urls[f"{name}_url"]
            for name in ("issue", "comments", "review_comments", "review_comment", "commits", "statuses")
        },
    }
    return {**urls, "_links": {name: {"href": url} for name, url in links.items()}}
