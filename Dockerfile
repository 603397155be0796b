# docker build -t stylegan .                        with the CUDA build of PyTorch, from PyPI
# docker build -t stylegan --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu .
# docker run --gpus all --shm-size 1g -v "$PWD:/workspace" stylegan stylegan-train --help

ARG PYTHON=3.12
FROM python:${PYTHON}-slim AS wheel
WORKDIR /src
COPY LICENSE MANIFEST.in README.md pyproject.toml setup.cfg ./
COPY stylegan stylegan
COPY stylegan_eval stylegan_eval
RUN python -m pip wheel --no-deps --wheel-dir /dist .

FROM python:${PYTHON}-slim
ARG TORCH_INDEX=https://pypi.org/simple
ARG EXTRAS=demo,datasets
# Gigabytes that change seldom, in a layer of their own.
RUN python -m pip install --no-cache-dir --index-url ${TORCH_INDEX} torch==2.14.1 torchvision==0.29.1
COPY --from=wheel /dist /dist
RUN python -m pip install --no-cache-dir "$(echo /dist/*.whl)[${EXTRAS}]"
# Any user may write there: clusters choose a number that has no name and no home.
RUN useradd --uid 1000 --create-home stylegan && mkdir -m 1777 /cache /workspace
ENV STYLEGAN_CACHE=/cache MPLCONFIGDIR=/cache/matplotlib TORCHINDUCTOR_CACHE_DIR=/cache/inductor
USER stylegan
WORKDIR /workspace
# No ENTRYPOINT: the command that is named is process 1, and gets the SIGTERM of `docker stop`.
CMD ["stylegan-train", "--help"]
