# The manager: one static binary on an empty base.
#
#   docker build -t REGISTRY/jobset-controller:v0.1.0 \
#     --build-arg VERSION=v0.1.0 --build-arg COMMIT="$(git rev-parse HEAD)" .
#
# For several platforms, with emulation: docker buildx build --platform linux/amd64,linux/arm64 ...

# Alpine's own target is musl, and static by default.
FROM docker.io/library/rust:1.95-alpine AS build
# ring and mimalloc have parts in C.
RUN apk add --no-cache musl-dev
WORKDIR /src
COPY . .
# The working copy has no .git in here, so the program is told what it is.
ARG VERSION=
ARG COMMIT=
# The caches make a second build quick; what is shipped is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    if [ -n "$VERSION" ]; then export JOBSET_VERSION="$VERSION"; fi; \
    if [ -n "$COMMIT" ]; then export JOBSET_COMMIT="$COMMIT"; fi; \
    cargo build --locked --profile dist -p jobset-controller --bin jobset-controller && \
    install -D target/dist/jobset-controller /out/manager && \
    # No interpreter: nothing is linked at run time, and nothing is there to link with.
    ! grep -q 'ld-musl' /out/manager && \
    ls -l /out/manager

FROM scratch
COPY --from=build /out/manager /manager
# By number, so that runAsNonRoot can be checked without a user database.
USER 65532:65532
ENTRYPOINT ["/manager"]
