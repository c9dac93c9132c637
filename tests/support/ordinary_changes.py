# ruff: noqa: E501, PLR0915, RUF001 - a table, with letters of many scripts
"""Ordinary changes, which the policy must let pass: shapes of real projects' commits, with small contents of our own.

The shapes are those of the public histories of a command-line library, an editor's extension and a terminal program: code
and its tests in many languages, documents, translations, data, snapshots, pictures.
"""

import base64
import hashlib
import json
import struct
import zlib
from collections.abc import Iterator

_CODE = {
    "src/app/totals.py": 'def total(prices: list[int]) -> int:\n    """Return the sum."""\n    return sum(prices)\n',
    "src/index.ts": "export const add = (a: number, b: number): number => a + b;\n",
    "src/App.tsx": "export const App = () => <main title=\"a\">{'Hello'}</main>;\n",
    "lib/util.js": "module.exports = (text) => text.replace(/[^\\x20-\\x7e]/g, '?');\n",
    "cmd/root.go": 'package cmd\n\nfunc Version() string { return "v1.4.2" }\n',
    "src/main.rs": 'fn main() {\n    println!("{:#?}", std::env::args());\n}\n',
    "src/Main.java": "class Main {\n    static int add(int a, int b) { return a + b; }\n}\n",
    "app/src/Main.kt": "fun add(a: Int, b: Int) = a + b\n",
    "Sources/App/main.swift": 'let greeting = "Hello"\nprint(greeting)\n',
    "src/app.c": "static const unsigned char table[] = {0x00, 0x1f, 0x3c, 0x7e, 0xff, 0x42, 0x18, 0x24};\n",
    "src/app.cpp": 'auto name = std::string{"a"} + "b" + "c";\n',
    "include/app.h": "#pragma once\n#define APP_VERSION 10402\n",
    "src/App.cs": "namespace App;\npublic record Price(decimal Value);\n",
    "lib/app.rb": "def add(a, b)\n  a + b\nend\n",
    "src/App.php": "<?php\nfunction add(int $a, int $b): int { return $a + $b; }\n",
    "lib/app.ex": "defmodule App do\n  def add(a, b), do: a + b\nend\n",
    "src/app.erl": "-module(app).\nadd(A, B) -> A + B.\n",
    "src/App.hs": "add :: Int -> Int -> Int\nadd = (+)\n",
    "src/app.ml": "let add a b = a + b\n",
    "src/app.clj": "(defn add [a b] (+ a b))\n",
    "lisp/app.el": ";;; app.el --- Add  -*- lexical-binding: t; -*-\n\f\n(defun add (a b) (+ a b))\n",
    "R/app.R": "add <- function(a, b) a + b\n",
    "src/app.jl": "add(a, b) = a + b\nconst α = 0.5\n",
    "lib/app.dart": "int add(int a, int b) => a + b;\n",
    "src/app.lua": "local function add(a, b) return a + b end\n",
    "scripts/build.sh": "#!/bin/sh\nset -eu\nprintf '\\033[1m%s\\033[0m\\n' \"$1\"\n",
    "db/migrate/0042_add_index.sql": "CREATE INDEX orders_by_day ON orders (created_at);\n",
    "web/style.css": '.icon::before { content: "\\f105"; color: #1f2937; }\n',
    "web/index.html": "<p>Fish &amp; chips &#8364; 5&nbsp;for two</p>\n",
    "proto/app.proto": 'syntax = "proto3";\nmessage Price { int64 value = 1; }\n',
}
_TEXTS = {
    "ar": "مرحبا بالعالم",
    "cs": "Příliš žluťoučký kůň",
    "de": "Grüße aus Köln, „schön“",
    "el": "Καλημέρα κόσμε",
    "fa": "سلام، می\u200cخواهم نامه\u200cای بنویسم",
    "fr": "Prix\u00a0: 5\u202f000\u00a0€ «\u00a0net\u00a0»",
    "he": "שלום עולם\u200f (v2)",
    "hi": "नमस्ते, क्\u200dया हाल है",
    "hu": "Árvíztűrő tükörfúrógép",
    "ja": "こんにちは\u3000世界、葛\U000e0100飾区",
    "ko": "안녕하세요 세계",
    "ml": "മലയാളം ന്\u200d",
    "my": "မင်္ဂလာပါ",
    "nl": "Hé, één zoëven",
    "pl": "Zażółć gęślą jaźń",
    "pt": "Ação e informação",
    "ru": "Привет, мир",
    "si": "ශ්\u200dරී ලංකා",
    "sv": "Räksmörgås",
    "th": "สวัสดีชาวโลก",
    "tr": "Iğdır'dan İzmir'e",
    "uk": "Привіт, світе",
    "vi": "Xin chào thế giới",
    "zh": "你好，世界",
}


def _png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = zlib.compress(b"".join(b"\0" + bytes((x * y) % 256 for x in range(96)) for y in range(32)))
    head = struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _data() -> Iterator[tuple[str, str | bytes]]:
    integrity = base64.b64encode(hashlib.sha512(b"a").digest()).decode()
    yield (
        "CHANGELOG.md",
        "## 1.4.2\n\n- Fixed [#12](https://example.org/12), thanks @ada\n- `--no-color` 🎉 👩\u200d💻 ❤\ufe0f\n",
    )
    yield (
        "README.md",
        "[![CI](https://example.org/badge.svg)](https://example.org) ⚠\ufe0f 1\ufe0f\u20e3 ℹ\ufe0f ©\ufe0f ✔\ufe0f\n",
    )
    yield (
        "docs/flags.md",
        "Wales 🏴\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f, 🏳\ufe0f\u200d🌈, 🇩🇪, 👍🏽\n",
    )
    yield "docs/table.md", "| a | b |\n|---|---|\n" + "| " + "x" * 60 + " " * 60 + " | y |\n"
    yield "docs/wide.rst", "Title\n=====\n\n" + "word " * 300 + "\n"
    yield (
        "docs/usage.md",
        "    export API_KEY=your_api_key_here\n    curl -H 'Authorization: Bearer $TOKEN' https://api.example.org\n",
    )
    yield "docs/windows.txt", "First line\r\nSecond line\r\n"
    yield "docs/marked.txt", "\ufeffA file that an editor of Windows wrote\r\n"
    yield "docs/braille.md", "⣿⠀⣿ ⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏\n"
    yield "docs/math.tex", "$\\alpha \\leq \\beta$ % ≤ ≠ ∑\n"
    yield "docs/notes.adoc", "= Notes\n\nSee <<install>>.\n"
    yield "LICENSE", "Copyright © 2026 The authors\n\nPermission is hereby granted, free of charge, to any person.\n"
    yield "package.json", json.dumps({"name": "app", "version": "1.4.2", "scripts": {"test": "jest"}}, indent=2)
    yield "web/package.json", json.dumps({"devDependencies": {"husky": "^9.0.0", "lint-staged": "^15.0.0"}}, indent=2)
    yield "pyproject.toml", '[project]\nname = "app"\nversion = "1.4.2"\nrequires-python = ">=3.11"\n'
    yield "Cargo.toml", '[package]\nname = "app"\nversion = "1.4.2"\n'
    yield "go.mod", "module example.org/app\n\ngo 1.22\n"
    yield "requirements.txt", f"click==8.1.7 \\\n    --hash=sha256:{_digest('click')}\n"
    yield "Makefile", "test:\n\t@pytest -q\n"
    yield "CMakeLists.txt", "cmake_minimum_required(VERSION 3.20)\nproject(app)\n"
    yield "pom.xml", "<project><modelVersion>4.0.0</modelVersion></project>\n"
    yield "checksums.txt", "".join(f"{_digest(str(n))}  app-{n}.tar.gz\n" for n in range(12))
    yield "data/prices.csv", "day,price\n" + "".join(f"2026-01-{n:02},{n * 37 % 101}.{n:02}\n" for n in range(1, 31))
    yield "data/points.json", json.dumps([[n * 0.25, n * n % 97] for n in range(60)])
    yield (
        "data/ids.txt",
        "".join(f"{_digest(str(n))[:8]}-{_digest(str(n))[8:12]}-4abc-8def-{n:012x}\n" for n in range(20)),
    )
    yield "data/bytes.json", json.dumps(list(bytes(range(0, 256, 3))))
    yield "data/font.b64", "\n".join(base64.b64encode(_png()).decode()[at : at + 76] for at in range(0, 400, 76))
    yield "src/icon.ts", f"export const icon = 'data:image/png;base64,{base64.b64encode(_png()).decode()}';\n"
    yield "src/integrity.ts", f"export const sri = 'sha512-{integrity}';\n"
    yield "tests/test_hash.py", f"def test_hash() -> None:\n    assert digest('a') == '{_digest('a')}'\n"
    yield "tests/test_escape.py", "CASES = ['\\x00', '\\u200b', '\\N{BULLET}', '%2Fpath', '&#x27;', '\\\\0']\n"
    yield "tests/test_login.py", "def test_login(client):\n    client.login(username='ada', password='secret')\n"
    yield "tests/test_key.py", 'KEY = "AKIAIOSFODNN7EXAMPLE"  # from the documentation\n'
    yield "tests/__snapshots__/cli.test.ts.snap", "exports[`help 1`] = `\x1b[1mUsage\x1b[22m \x1b[31mapp\x1b[39m`;\n"
    yield "tests/fixtures/colors.txt", "\x1b[32mok\x1b[0m\n"
    yield "tests/fixtures/cert.pem", f"-----BEGIN CERTIFICATE-----\n{integrity[:64]}\n-----END CERTIFICATE-----\n"
    yield "tests/testdata/golden.out", "a\tb\tc\n" * 30
    yield "assets/logo.svg", '<svg viewBox="0 0 9 9"><path d="M1.5 2.25c-.1 3.3 4.4 5.5 6 1z" fill="#0af"/></svg>\n'
    yield "assets/logo.png", _png()
    yield "assets/photo.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(range(256)) * 4
    yield "assets/font.woff2", b"wOF2\0\1\0\0" + bytes(range(255, -1, -1)) * 4
    yield "assets/favicon.ico", b"\0\0\1\0\1\0\x10\x10" + bytes(200)
    yield "assets/.gitkeep", ""
    yield ".changeset/brave-cats-sing.md", '---\n"app": patch\n---\n\nFix the total.\n'
    yield "public/.well-known/security.txt", "Contact: https://example.org/security\n"
    yield "app/[slug]/page.tsx", "export default function Page() { return null; }\n"
    yield "app/(shop)/layout.tsx", "export default function Layout() { return null; }\n"
    yield "assets/icon@2x.svg", '<svg viewBox="0 0 2 2"/>\n'
    yield "docs/guide with blanks.md", "# Guide\n"
    yield "src/auxiliary/console.py", "LEVELS = ('con', 'aux')\n"
    yield (
        "notebooks/plot.ipynb",
        json.dumps({"cells": [{"outputs": [{"data": {"image/png": base64.b64encode(_png()).decode()}}]}]}),
    )


def ordinary_changes() -> Iterator[tuple[str, str, str | bytes]]:
    """Yield a name, a path and a content for each change."""
    for path, content in _CODE.items():
        yield f"new {path}", path, content
        comment = "// " if content.lstrip().startswith(("export", "module", "package", "fn", "class", "int")) else "# "
        yield f"longer {path}", path, content * 8 + f"\n{comment}see https://example.org/issues/42?tab=readme#top\n"
        folder, _, name = path.rpartition("/")
        yield f"a test of {path}", f"tests/{folder}/test-{name}", f"{content}\n{content.upper()}"
    for language, text in _TEXTS.items():
        yield f"{language}.json", f"locales/{language}/app.json", json.dumps({"hello": text}, ensure_ascii=False)
        yield f"{language}.po", f"po/{language}.po", f'msgid "Hello"\nmsgstr "{text}"\n'
        yield (
            f"{language}.properties",
            f"i18n/app_{language}.properties",
            f"hello={text.encode('unicode_escape').decode()}\n",
        )
        yield f"{language}.md", f"docs/{language}/README.md", f"# {text}\n\n> {text} 🎉\n"
    for path, data in _data():
        yield path, path, data
