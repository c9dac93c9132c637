-- The forge's state. Times are RFC 3339 in UTC to the second, as GitHub writes them.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);

CREATE TABLE accounts (
    id INTEGER PRIMARY KEY,
    login TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('User', 'Bot', 'Organization')),
    created_at TEXT NOT NULL
);

CREATE TABLE repositories (
    id INTEGER PRIMARY KEY,
    owner_id INTEGER NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    description TEXT,
    default_branch TEXT NOT NULL,
    private INTEGER NOT NULL,
    archived INTEGER NOT NULL,
    next_number INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    pushed_at TEXT NOT NULL,
    UNIQUE (owner_id, name)
);

-- The branches as last announced; what differs from the bare repository is a push that has yet to be announced.
CREATE TABLE branches (
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    name TEXT NOT NULL,
    sha TEXT NOT NULL,
    PRIMARY KEY (repository_id, name)
);

-- Issues and pull requests share one sequence of numbers, as they do at GitHub.
CREATE TABLE tickets (
    id INTEGER PRIMARY KEY,
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    number INTEGER NOT NULL,
    is_pull INTEGER NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'closed')),
    author_id INTEGER NOT NULL REFERENCES accounts (id),
    association TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    closed_at TEXT,
    UNIQUE (repository_id, number)
);

CREATE TABLE pulls (
    ticket_id INTEGER PRIMARY KEY REFERENCES tickets (id),
    head_ref TEXT NOT NULL,
    head_sha TEXT NOT NULL,
    -- The fork that the head is in, `owner/name`.
    fork TEXT,
    base_ref TEXT NOT NULL,
    base_sha TEXT NOT NULL,
    draft INTEGER NOT NULL,
    -- The merge commit that was made and by whom; the pull request is merged once it lies in the base branch.
    candidate_sha TEXT,
    candidate_by INTEGER REFERENCES accounts (id),
    merged_at TEXT,
    merge_sha TEXT,
    merged_by INTEGER REFERENCES accounts (id)
);
CREATE INDEX pulls_by_head ON pulls (head_ref);

-- How a repository lets pull requests be merged, and what its base branches ask for; without a row see `merging`.
CREATE TABLE merge_rules (
    repository_id INTEGER PRIMARY KEY REFERENCES repositories (id),
    rules TEXT NOT NULL
);

-- Open pull requests that are merged once they may be (`auto`), or in their turn (`queue`), at this head.
CREATE TABLE merge_requests (
    ticket_id INTEGER PRIMARY KEY REFERENCES tickets (id),
    kind TEXT NOT NULL CHECK (kind IN ('auto', 'queue')),
    method TEXT NOT NULL,
    by_id INTEGER NOT NULL REFERENCES accounts (id),
    created_at TEXT NOT NULL
);

-- Who ended such a request before the merge, and why: a part of the timeline.
CREATE TABLE merge_request_ends (
    id INTEGER PRIMARY KEY,
    ticket_id INTEGER NOT NULL REFERENCES tickets (id),
    kind TEXT NOT NULL CHECK (kind IN ('auto', 'queue')),
    actor_id INTEGER NOT NULL REFERENCES accounts (id),
    reason TEXT NOT NULL,
    created_at TEXT NOT NULL
);

CREATE TABLE labels (
    id INTEGER PRIMARY KEY,
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    name TEXT NOT NULL,
    color TEXT NOT NULL,
    UNIQUE (repository_id, name)
);

CREATE TABLE ticket_labels (
    ticket_id INTEGER NOT NULL REFERENCES tickets (id),
    label_id INTEGER NOT NULL REFERENCES labels (id),
    PRIMARY KEY (ticket_id, label_id)
);

-- Who put which label on a ticket, or took it off: a part of the timeline.
CREATE TABLE label_events (
    id INTEGER PRIMARY KEY,
    ticket_id INTEGER NOT NULL REFERENCES tickets (id),
    actor_id INTEGER NOT NULL REFERENCES accounts (id),
    label_id INTEGER NOT NULL REFERENCES labels (id),
    removed INTEGER NOT NULL,
    created_at TEXT NOT NULL
);
CREATE INDEX label_events_by_ticket ON label_events (ticket_id);

-- Who closed a ticket, maybe through a pull request or a commit, and who deleted a pull request's branch.
CREATE TABLE closings (
    id INTEGER PRIMARY KEY,
    ticket_id INTEGER NOT NULL REFERENCES tickets (id),
    actor_id INTEGER NOT NULL REFERENCES accounts (id),
    by_pull INTEGER,
    by_commit TEXT,
    is_deletion INTEGER NOT NULL,
    created_at TEXT NOT NULL
);
CREATE INDEX closings_by_ticket ON closings (ticket_id);

-- The versions of a ticket's text once it was edited, the first as it was written; and its changes of title.
CREATE TABLE ticket_edits (
    id INTEGER PRIMARY KEY,
    ticket_id INTEGER NOT NULL REFERENCES tickets (id),
    editor_id INTEGER NOT NULL REFERENCES accounts (id),
    body TEXT,
    title TEXT,
    previous_title TEXT,
    edited_at TEXT NOT NULL
);
CREATE INDEX ticket_edits_by_ticket ON ticket_edits (ticket_id);

-- What an account may do in a repository; without a row the viewer and the owner may write, anybody else may read.
CREATE TABLE permissions (
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    account_id INTEGER NOT NULL REFERENCES accounts (id),
    permission TEXT NOT NULL CHECK (permission IN ('admin', 'maintain', 'write', 'triage', 'read', 'none')),
    PRIMARY KEY (repository_id, account_id)
);

CREATE TABLE comments (
    id INTEGER PRIMARY KEY,
    ticket_id INTEGER NOT NULL REFERENCES tickets (id),
    author_id INTEGER NOT NULL REFERENCES accounts (id),
    body TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE INDEX comments_by_ticket ON comments (ticket_id);

CREATE TABLE reactions (
    id INTEGER PRIMARY KEY,
    comment_id INTEGER NOT NULL REFERENCES comments (id),
    author_id INTEGER NOT NULL REFERENCES accounts (id),
    content TEXT NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (comment_id, author_id, content)
);

-- Reactions to what GraphQL knows by its node alone: reviews, and comments in threads.
CREATE TABLE node_reactions (
    subject TEXT NOT NULL,
    author_id INTEGER NOT NULL REFERENCES accounts (id),
    content TEXT NOT NULL,
    PRIMARY KEY (subject, author_id, content)
);

CREATE TABLE threads (
    id INTEGER PRIMARY KEY,
    ticket_id INTEGER NOT NULL REFERENCES tickets (id),
    path TEXT NOT NULL,
    line INTEGER,
    commit_sha TEXT NOT NULL,
    resolved INTEGER NOT NULL,
    outdated INTEGER NOT NULL
);
CREATE INDEX threads_by_ticket ON threads (ticket_id);

CREATE TABLE thread_comments (
    id INTEGER PRIMARY KEY,
    thread_id INTEGER NOT NULL REFERENCES threads (id),
    author_id INTEGER NOT NULL REFERENCES accounts (id),
    body TEXT NOT NULL,
    commit_sha TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    editor_id INTEGER REFERENCES accounts (id),
    edited_at TEXT
);
CREATE INDEX thread_comments_by_thread ON thread_comments (thread_id);

CREATE TABLE reviews (
    id INTEGER PRIMARY KEY,
    ticket_id INTEGER NOT NULL REFERENCES tickets (id),
    author_id INTEGER NOT NULL REFERENCES accounts (id),
    state TEXT NOT NULL,
    body TEXT NOT NULL,
    commit_sha TEXT NOT NULL,
    submitted_at TEXT NOT NULL
);
CREATE INDEX reviews_by_ticket ON reviews (ticket_id);

CREATE TABLE expectations (
    id INTEGER PRIMARY KEY,
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    check_name TEXT NOT NULL,
    path TEXT NOT NULL,
    pattern TEXT NOT NULL,
    must_match INTEGER NOT NULL,
    message TEXT NOT NULL,
    flaky INTEGER NOT NULL
);

CREATE TABLE suites (
    id INTEGER PRIMARY KEY,
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    sha TEXT NOT NULL,
    branch TEXT NOT NULL,
    conclusion TEXT NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (repository_id, sha)
);

CREATE TABLE check_runs (
    id INTEGER PRIMARY KEY,
    suite_id INTEGER NOT NULL REFERENCES suites (id),
    name TEXT NOT NULL,
    conclusion TEXT NOT NULL,
    title TEXT NOT NULL,
    summary TEXT NOT NULL,
    text TEXT NOT NULL,
    started_at TEXT NOT NULL,
    completed_at TEXT NOT NULL
);
CREATE INDEX check_runs_by_suite ON check_runs (suite_id);

CREATE TABLE app_check_runs (
    id INTEGER PRIMARY KEY,
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    sha TEXT NOT NULL,
    app TEXT NOT NULL,
    name TEXT NOT NULL,
    external_id TEXT NOT NULL,
    details_url TEXT,
    conclusion TEXT NOT NULL,
    title TEXT NOT NULL,
    summary TEXT NOT NULL,
    text TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE INDEX app_check_runs_by_sha ON app_check_runs (repository_id, sha);

CREATE TABLE statuses (
    id INTEGER PRIMARY KEY,
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    sha TEXT NOT NULL,
    context TEXT NOT NULL,
    state TEXT NOT NULL,
    description TEXT,
    target_url TEXT,
    created_at TEXT NOT NULL
);
CREATE INDEX statuses_by_sha ON statuses (repository_id, sha);

CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    guid TEXT NOT NULL,
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    event TEXT NOT NULL,
    action TEXT,
    body BLOB NOT NULL,
    redelivery INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    delivered_at TEXT,
    duration REAL,
    status TEXT NOT NULL,
    status_code INTEGER,
    response TEXT
);
CREATE INDEX deliveries_pending ON deliveries (id) WHERE delivered_at IS NULL;
