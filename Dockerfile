# The images: each is one static binary on an empty base.
#
#   docker build -t REGISTRY/jobset-controller:v0.1.0 \
#     --build-arg VERSION=v0.1.0 --build-arg COMMIT="$(git rev-parse HEAD)" .
#   docker build -t REGISTRY/jobset-agent:v0.1.0 --target agent .
#
# For several platforms, with emulation: docker buildx build --platform linux/amd64,linux/arm64 ...

# Alpine's own target is musl, and static by default.
FROM docker.io/library/rust:1.95-alpine AS source
# ring and mimalloc have parts in C.
RUN apk add --no-cache musl-dev
WORKDIR /src
COPY . .

FROM source AS build-agent
# The caches make a second build quick; what is shipped is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist -p jobset-agent --bin jobset-agent && \
    install -D target/dist/jobset-agent /out/usr/local/bin/jobset-agent && \
    # Manifests and images that were made for the reference call it, or copy it, like this.
    install target/dist/jobset-agent /out/in-place-restart-agent && \
    ! grep -q 'ld-musl' /out/usr/local/bin/jobset-agent && \
    ls -l /out/usr/local/bin/jobset-agent

# The in-place restart agent. Also the place from which images of workers copy it.
FROM scratch AS agent
COPY --from=build-agent /out/ /
USER 65532:65532
ENV PATH=/usr/local/bin
ENTRYPOINT ["/usr/local/bin/jobset-agent"]

FROM source AS build
# The working copy has no .git in here, so the program is told what it is.
ARG VERSION=
ARG COMMIT=
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    if [ -n "$VERSION" ]; then export JOBSET_VERSION="$VERSION"; fi; \
    if [ -n "$COMMIT" ]; then export JOBSET_COMMIT="$COMMIT"; fi; \
    cargo build --locked --profile dist -p jobset-controller --bin jobset-controller && \
    install -D target/dist/jobset-controller /out/manager && \
    # No interpreter: nothing is linked at run time, and nothing is there to link with.
    ! grep -q 'ld-musl' /out/manager && \
    ls -l /out/manager

# The manager, which is what is built unless told otherwise.
FROM scratch AS manager
COPY --from=build /out/manager /manager
# By number, so that runAsNonRoot can be checked without a user database.
USER 65532:65532
ENTRYPOINT ["/manager"]
