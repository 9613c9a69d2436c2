"""build_packages.py FOLDER: builds a few real packages with rattler-build, each in both formats."""

from pathlib import Path

from rattler_build import Stage0Recipe
from script import run

# Stands in for a real interpreter, so that a `noarch: python` package can be installed and its entry point run.
PYTHON = {
    "package": {"name": "python", "version": "3.11.9"},
    "build": {
        "string": "0_cpython",
        "script": [
            "mkdir -p $PREFIX/bin",
            "printf '#!/bin/sh\\nPYTHONPATH=%s/lib/python3.11/site-packages exec /usr/bin/env python3 \"$@\"\\n'"
            " $PREFIX > $PREFIX/bin/python3.11",
            "chmod +x $PREFIX/bin/python3.11",
            "ln -s python3.11 $PREFIX/bin/python",
        ],
    },
}

DATA = {
    "package": {"name": "weather-data", "version": "2024.1"},
    "build": {
        "noarch": "generic",
        # Does not compress, so that a lazy reader has something to leave out.
        "script": ["mkdir -p $PREFIX/share", "head -c 600000 /dev/urandom > $PREFIX/share/weather.bin"],
    },
    "about": {"summary": "Half a megabyte of weather", "license": "CC0-1.0"},
}


def library(version):
    return {
        "package": {"name": "weather-lib", "version": version},
        "build": {"number": 3, "script": ["mkdir -p $PREFIX/etc", "echo $PREFIX > $PREFIX/etc/weather.conf"]},
        "requirements": {"run_exports": ["weather-lib >=1.0,<2"], "run_constraints": ["weather-app >=1"]},
        "about": {"summary": "Reads the weather", "license": "MIT", "homepage": "https://example.com/weather"},
    }


APP = {
    "package": {"name": "weather-app", "version": "1.0.0"},
    "build": {
        "noarch": "generic",
        "script": [
            "mkdir -p $PREFIX/bin $PREFIX/share",
            "echo sunny > $PREFIX/share/weather.txt",
            "printf '#!/bin/sh\\necho done > $PREFIX/post-link-ran\\n' > $PREFIX/bin/.weather-app-post-link.sh",
        ],
    },
    "requirements": {"run": ["weather-lib >=1.0", "weather-data"]},
    "about": {"summary": "Shows the weather"},
}

# Its version has an epoch and a local part: `!` and `+` in the file name.
GREETER = {
    "package": {"name": "greeter", "version": "1!2.0+local"},
    "build": {
        "noarch": "python",
        "python": {"entry_points": ["greet = greeter:main"]},
        "script": [
            "mkdir -p $PREFIX/lib/python3.11/site-packages",
            "printf 'def main():\\n    print(\"hello\")\\n' > $PREFIX/lib/python3.11/site-packages/greeter.py",
        ],
    },
    "requirements": {"host": ["python"], "run": ["python >=3.11", "weather-lib"]},
}


def build(folder):
    empty = Path(folder) / "empty"
    (empty / "noarch").mkdir(parents=True)
    (empty / "noarch" / "repodata.json").write_text('{"info": {"subdir": "noarch"}, "packages": {}}')
    output = Path(folder) / "packages"
    built = []
    for number, recipe in enumerate([PYTHON, DATA, library("1.0.0"), library("1.1.0"), APP, GREETER]):
        parsed = Stage0Recipe.from_dict(recipe, recipe_dir=Path(folder) / f"recipe-{number}")
        for package_format, extension in [("conda", "conda"), ("tar-bz2", "tar.bz2")]:
            # The output folder is the second channel: it has the interpreter that `greeter` wants at build time.
            channels = [path.as_uri() for path in (empty, output) if path.exists()]
            (result,) = parsed.run_build(
                output_dir=output, channels=channels, package_format=package_format, no_build_id=True
            )
            built.append(
                {
                    "file": str(result.packages[0].relative_to(folder)),
                    "name": result.name,
                    "version": result.version,
                    "build": result.build_string,
                    "subdir": result.platform,
                    "format": extension,
                }
            )
    return built


run(build)
