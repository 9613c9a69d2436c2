"""Runs a script's function: arguments in, one line of JSON out."""

import asyncio
import inspect
import json
import os
import sys
import traceback


def run(function):
    code = 0
    try:
        value = function(*sys.argv[1:])
        print(json.dumps(asyncio.run(value) if inspect.iscoroutine(value) else value))
    except Exception:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # py-rattler sometimes crashes while the interpreter shuts down, its work done.
    os._exit(code)


def describe(record):
    return {
        "name": record.name.normalized,
        "version": str(record.version),
        "build": str(record.build),
        "subdir": record.subdir,
        "fileName": record.file_name,
        "url": record.url,
        "size": record.size,
        "sha256": record.sha256.hex() if record.sha256 else None,
        "depends": [str(spec) for spec in record.depends],
    }
