# The one program of Holdfast: `docker run holdfast api`, `... worker`, `... migrate`, `... audit`.

FROM rust:1.95-slim-trixie AS build
WORKDIR /src
COPY . .
# The target folder is a cache of the builder, so the program is copied out of it in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked -p holdfast \
    && cp target/release/holdfast /usr/local/bin/holdfast

FROM debian:13.4-slim
# CA certificates for Temporal, PostgreSQL and mail servers that speak TLS.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin holdfast
COPY --from=build /usr/local/bin/holdfast /usr/local/bin/holdfast
USER 10001
# In a container the default of 127.0.0.1 would be reachable by nobody.
ENV HOLDFAST_LISTEN=0.0.0.0:8080
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/holdfast"]
CMD ["--help"]
