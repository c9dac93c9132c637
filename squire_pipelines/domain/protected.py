"""Paths that only a person may let an agent change: what runs by itself, what decides what is installed, who decides.

Data only. `docs/guide/policy.md` has the same list, and a test compares the two.
"""

DOT_FILES = "**/.*"
"""The files and folders of tools: most of them run something, and no list of them is ever complete."""

ORDINARY_DOT_FILES = (
    "**/.changeset/*.md",
    "**/.well-known/**",
    "**/.gitkeep",
    "**/.keep",
    "**/.nojekyll",
    "**/.env.example",
)
"""Files with a dot that are content, and run nothing."""

AGENT_FILES = (
    "**/AGENTS*.md",
    "**/AGENT.md",
    "**/CLAUDE*.md",
    "**/GEMINI*.md",
    "**/QWEN.md",
    "**/CODEX.md",
    "**/COPILOT*.md",
    "**/CONVENTIONS.md",
    "**/JULES.md",
    "**/WARP.md",
    "**/CRUSH.md",
    "**/replit.md",
    "**/SKILL.md",
    "**/memory-bank/**",
    "**/*.instructions.md",
    "**/*.prompt.md",
    "**/*.chatmode.md",
    "**/*.agent.md",
    "**/*.mdc",
    "**/opencode.json*",
    "**/mcp.json",
    "**/mcp_config.json",
)
"""Instructions and settings of agents: the next agent, or a person's own, would follow them."""

CI_FILES = (
    "**/azure-pipelines*.y*ml",
    "**/Jenkinsfile*",
    "**/bitbucket-pipelines.yml",
    "**/appveyor.y*ml",
    "**/buildspec*.y*ml",
    "**/cloudbuild*.y*ml",
    "**/cloudbuild*.json",
    "**/codefresh.y*ml",
    "**/codemagic.yaml",
    "**/bitrise.yml",
    "**/buddy.yml",
    "**/wercker.yml",
    "**/screwdriver.yaml",
    "**/zuul.yaml",
    "**/zuul.d/**",
    "**/Earthfile",
    "**/dagger.json",
    "**/circle.yml",
    "**/shippable.yml",
    "**/garnix.y*ml",
    "**/jenkins-x*.y*ml",
    "**/*.gocd.y*ml",
    "**/ci_scripts/**",
    "**/appcenter-*.sh",
    "**/Dangerfile*",
)
"""Continuous integration whose files have no dot; those with one (`.github`, `.gitlab-ci.yml`, …) are dot-files."""

RELEASE_FILES = (
    "**/netlify.toml",
    "**/vercel.json",
    "**/render.yaml",
    "**/fly.toml",
    "**/heroku.yml",
    "**/Procfile",
    "**/railway.*",
    "**/wrangler.*",
    "**/firebase.json",
    "**/amplify.yml",
    "**/goreleaser.y*ml",
    "**/release.config.*",
    "**/release-please-config.json",
    "**/fastlane/**",
    "**/renovate.json*",
    "**/mergify.yml",
    "**/bors.toml",
    "**/skaffold.yaml",
)
"""What releases, deploys or merges by itself."""

BUILD_FILES = ("**/Dockerfile*", "**/*.dockerfile", "**/Containerfile*", "**/docker-bake.*", "**/*compose*.y*ml")
"""Images, and what starts them."""

INSTALL_FILES = (
    "**/setup.py",
    "**/*.pth",
    "**/sitecustomize.py",
    "**/usercustomize.py",
    "**/hatch_build.py",
    "**/pdm_build.py",
    "**/package.yaml",
    "**/package.json5",
    "**/pnpmfile.*js",
    "**/build.rs",
    "**/binding.gyp",
    "**/extconf.rb",
    "**/*.gemspec",
    "**/Podfile",
    "**/Brewfile",
    "**/Vagrantfile",
    "**/flake.nix",
    "**/shell.nix",
    "**/gradlew*",
    "**/gradle/wrapper/**",
    "**/mvnw*",
    "**/pnpm-workspace.yaml",
    "**/bunfig.toml",
    "**/pip.conf",
    "**/uv.toml",
    "**/rust-toolchain*",
    "**/Directory.Build.*",
    "**/nuget.config",
    "**/Setup.hs",
    "debian/**",
)
"""What runs, or decides what runs, when the repository is installed or built for the first time."""

OPEN_AND_COMMIT_FILES = (
    "**/*.code-workspace",
    "**/*.sublime-project",
    "**/mise.toml",
    "**/devbox.json",
    "**/lefthook*.y*ml",
    "**/lint-staged.config.*",
    "**/commitlint.config.*",
    "**/prek.toml",
    "**/githooks/**",
)
"""What runs when a person opens the repository or commits to it."""

OWNER_FILES = ("**/CODEOWNERS", "**/OWNERS")
"""Who has to approve."""

LOCK_FILES = (
    "**/package-lock.json",
    "**/npm-shrinkwrap.json",
    "**/pnpm-lock.yaml",
    "**/yarn.lock",
    "**/bun.lock*",
    "**/deno.lock",
    "**/uv.lock",
    "**/poetry.lock",
    "**/pdm.lock",
    "**/pixi.lock",
    "**/conda-lock.yml",
    "**/Pipfile.lock",
    "**/Cargo.lock",
    "**/Gemfile.lock",
    "**/Podfile.lock",
    "**/composer.lock",
    "**/mix.lock",
    "**/pubspec.lock",
    "**/packages.lock.json",
    "**/Package.resolved",
    "**/gradle.lockfile",
    "**/flake.lock",
    "**/go.sum",
    "**/go.work.sum",
)
"""Lock files decide what is installed, and nobody reads them. An upgrade of a dependency changes them."""

DEFAULT_PROTECTED = (
    DOT_FILES,
    *OWNER_FILES,
    *AGENT_FILES,
    *CI_FILES,
    *RELEASE_FILES,
    *BUILD_FILES,
    *INSTALL_FILES,
    *OPEN_AND_COMMIT_FILES,
    *LOCK_FILES,
)
