"""Lists every file of an image, from `docker export` on standard input: mode, owner, size, hash or target, and path.

Two such lists are compared by scripts/image-diff.sh. Times are left out: a folder's time is the build's.
Usage: docker export CONTAINER | image_files.py [--without PREFIX]…
"""

import argparse
import hashlib
import sys
import tarfile

# What the engine itself puts into every container.
_ENGINES = (".dockerenv", "etc/hostname", "etc/hosts", "etc/resolv.conf", "dev/", "proc/", "sys/")


def describe(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    """One line; equal for equal files."""
    if member.isreg():
        file = archive.extractfile(member)
        digest = hashlib.sha256()
        while file is not None and (chunk := file.read(1 << 20)):
            digest.update(chunk)
        content = digest.hexdigest()
    elif member.issym() or member.islnk():
        content = f"-> {member.linkname}"
    else:
        content = f"type {member.type!r}"
    return f"{member.mode:06o} {member.uid}:{member.gid} {member.size:>10} {content}  {member.name}"


def main() -> int:
    """Sorted by path."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without", action="append", default=[])
    skipped = (*_ENGINES, *parser.parse_args().without)
    lines: dict[str, str] = {}
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
        for member in archive:
            if not member.name.startswith(skipped):
                lines[member.name] = describe(archive, member)
    for name in sorted(lines):
        print(lines[name])
    return 0


if __name__ == "__main__":
    sys.exit(main())
