import pathlib
import re

import setuptools

ROOT = pathlib.Path(__file__).parent
# Read as text: importing the package here would need what it is about to install.
VERSION = re.search(
    r'^__version__ = "(.+)"$',
    (ROOT / "kinetics_clips" / "version.py").read_text(encoding="utf-8"),
    re.MULTILINE,
).group(1)

# What builds datasets, and reads them in tf.data; readers in NumPy need none of it.
TENSORFLOW = "tensorflow>=2.20,<3"

# From 2.70 on, which takes the protobuf that TFDS needs.
BEAM = "apache-beam>=2.70,<3"

# What TFDS's own `tfds` command imports at start-up without declaring it.
TFDS_COMMAND = [TENSORFLOW, "mlcroissant>=1.0", BEAM]

setuptools.setup(
    name="kinetics-clips",
    version=VERSION,
    description="Kinetics videos as a TensorFlow dataset of frames; fast random clips.",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The kinetics_clips authors",
    license="Apache-2.0",
    keywords="kinetics video dataset tensorflow-datasets tfds pytorch jax",
    python_requires=">=3.11",  # those that `.ci/run` tries are in the classifiers
    packages=setuptools.find_packages(include=["kinetics_clips", "kinetics_clips.*"]),
    package_data={
        "kinetics_clips": ["py.typed"],
        "kinetics_clips.show": ["templates/*.html"],
        "kinetics_clips.write": ["labels/*.txt"],
    },
    install_requires=[
        # From the lowest to the highest major version that the tests have passed with.
        "av>=15,<20",
        "filelock>=3.20,<5",
        "google-crc32c>=1.8,<2",
        "importlib_resources>=6,<8",  # TFDS prepares datasets with it, undeclared
        "jinja2>=3.1.6,<4",
        "loky>=3.5,<4",
        "numpy>=2.0,<3",
        "opencv-python-headless>=4.12,<6",
        "pebble>=5.2.3,<6",
        "pillow>=10.1,<13",
        "simplejpeg>=1.8,<2",
        "tensorflow-datasets>=4.9.10,<5",
        "tqdm>=4.66,<5",
    ],
    extras_require={
        "tf": [TENSORFLOW],
        "tfds": TFDS_COMMAND,
        "beam": [TENSORFLOW, BEAM],
        "test": [
            *TFDS_COMMAND,
            "dill",  # tfds.testing imports it, undeclared
            "hypothesis",
            "imageio-ffmpeg",  # the ffmpeg program, with which frames are compared
            "mfusepy",  # disks that fail, where libfuse is
            "mypy>=2.4,<3",  # a later major version may find more
            "psutil",
            "pytest>=9",
            "pytest-xdist",
            "ruff",
            "selenium",  # drives Chromium, where that is
        ],
        # What makes the site of docs/; the major versions that have made it.
        "docs": [
            "mkdocs-material>=9.7,<10",
            "mkdocstrings[python]>=1,<2",
            "ruff",  # formats the signatures
        ],
        # What the recipes of the documentation feed, and nothing else needs: gigabytes.
        "recipes": ["grain>=0.2.12", "jax>=0.5", "torch>=2.6"],
    },
    entry_points={
        "console_scripts": ["kinetics-clips = kinetics_clips.command.cli:main"]
    },
    classifiers=[
        "Development Status :: 5 - Production/Stable",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Multimedia :: Video",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
