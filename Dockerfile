FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# Queries are checked against the committed .sqlx: no database is needed here.
ENV SQLX_OFFLINE=true
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked --bin upbeat && \
    cp target/release/upbeat /usr/local/bin/upbeat

FROM debian:bookworm-slim
RUN apt-get update && \
    apt-get install --yes --no-install-recommends ca-certificates && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --system --uid 10001 --home-dir /var/lib/upbeat --create-home upbeat
COPY --from=build /usr/local/bin/upbeat /usr/local/bin/upbeat

USER upbeat
WORKDIR /var/lib/upbeat
# DATABASE_URL is wanted too: the image holds no PostgreSQL.
ENV UPBEAT_LISTEN=0.0.0.0:8080 UPBEAT_DATA_DIR=/var/lib/upbeat
EXPOSE 8080

# The image has no HTTP client, but a shell that opens sockets.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /readyz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]

ENTRYPOINT ["upbeat"]
CMD ["serve"]
