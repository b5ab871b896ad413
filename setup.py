import pathlib
import re

import setuptools

ROOT = pathlib.Path(__file__).parent
# Read as text: importing the package here would need what it is about to install.
VERSION = re.search(
    r'^__version__ = "(.+)"$',
    (ROOT / "kinetics_clips" / "__init__.py").read_text(encoding="utf-8"),
    re.MULTILINE,
).group(1)

BEAM = "apache-beam>=2.60"

# What TFDS's own `tfds` command imports at start-up without declaring it.
TFDS_COMMAND = ["mlcroissant", BEAM]

setuptools.setup(
    name="kinetics-clips",
    version=VERSION,
    description="Kinetics videos as a TensorFlow dataset of frames; fast random clips.",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=["kinetics_clips"],
    package_data={
        "kinetics_clips": ["labels/*.txt", "templates/*.html", "py.typed"],
    },
    install_requires=[
        "importlib_resources",  # TFDS needs it to prepare a dataset, undeclared
        "av>=14",
        "filelock>=3.12",
        "google-crc32c>=1.5",
        "jinja2>=3.1",
        "loky>=3.4",
        "numpy>=2.0",
        "opencv-python-headless>=4.12",
        "pebble>=5.2",
        "pillow>=10.1",
        "simplejpeg>=1.8",
        "tensorflow>=2.20",
        "tensorflow-datasets>=4.9.10",
        "tqdm",
    ],
    extras_require={
        "tfds": TFDS_COMMAND,
        "beam": [BEAM],
        "test": [
            *TFDS_COMMAND,
            "dill",  # tfds.testing imports it, undeclared
            "grain",
            "hypothesis",
            "imageio-ffmpeg",  # the ffmpeg program, with which frames are compared
            "jax",
            "mfusepy",  # disks that fail, by Debian's fuse3
            "psutil",
            "pytest>=9",
            "pytest-xdist",
            "ruff",
            "selenium",  # which drives Debian's chromium
            "torch==2.13.0",  # of which a build for the CPU alone may lie on the disk
        ],
    },
    entry_points={"console_scripts": ["kinetics-clips = kinetics_clips.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3",
        "Topic :: Multimedia :: Video",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
