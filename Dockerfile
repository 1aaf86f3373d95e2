# syntax=docker/dockerfile:1
# streamv2v in a container; docs/install.md says how to run it.
#   docker build -t streamv2v .                       with PyTorch for CPUs
#   docker build -t streamv2v:cuda --target cuda .    with PyTorch for NVIDIA GPUs

FROM python:3.12-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/streamv2v
ENV PATH=/opt/streamv2v/bin:$PATH
WORKDIR /src
COPY constraints.txt ./

FROM build AS build-cpu
RUN pip install -c constraints.txt torch --extra-index-url https://download.pytorch.org/whl/cpu
COPY . .
RUN pip install -c constraints.txt '.[serve]'

FROM build AS build-cuda
ARG CUDA=cu130
RUN pip install -c constraints.txt torch --extra-index-url https://download.pytorch.org/whl/${CUDA}
COPY . .
RUN pip install -c constraints.txt '.[serve]'

FROM python:3.12-slim-bookworm AS base
# Weights that --model fetches and what PyTorch compiles stay in the volume. Any user may write to it and to /work.
ENV PATH=/opt/streamv2v/bin:$PATH HOME=/cache HF_HOME=/cache/huggingface
RUN useradd --uid 1000 --home-dir /cache --no-create-home streamv2v \
    && install -d -o streamv2v -m 1777 /cache /work
VOLUME /cache
WORKDIR /work
USER 1000:1000
ENTRYPOINT ["streamv2v"]
CMD ["--help"]

FROM base AS cuda
# `video` is for the GPU's decoders and encoders; Triton needs a C compiler.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility,video
USER 0
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
USER 1000:1000
COPY --from=build-cuda /opt/streamv2v /opt/streamv2v

FROM base AS cpu
COPY --from=build-cpu /opt/streamv2v /opt/streamv2v
