# The run-time set on a CPU: docker build -t zo-dno . && docker run -v "$PWD/runs:/runs" zo-dno run --prompt "sea at night" --out /runs/sea
# With another torch: --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128
# For a Ray cluster, with the dashboard that takes jobs (docs/cluster.md): --build-arg EXTRAS=cluster
FROM python:3.11-slim

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=
WORKDIR /build
COPY . .
RUN pip install --no-cache-dir -c constraints.txt --index-url "$TORCH_INDEX" --extra-index-url https://pypi.org/simple torch \
    && pip install --no-cache-dir -c constraints.txt ".${EXTRAS:+[$EXTRAS]}" \
    && rm -rf /build

RUN useradd --create-home --uid 1000 zo-dno && mkdir /runs && chown zo-dno /runs
USER 1000
WORKDIR /runs
ENTRYPOINT ["zo-dno"]
CMD ["--help"]
