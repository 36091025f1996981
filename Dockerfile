# One static-as-can-be program on a slim system, as nobody in particular.
#
#   docker build --build-arg COMMIT=$(git rev-parse --short=12 HEAD) -t taskrouter-streams .
#   docker run --env-file secrets.env -p 8080:8080 -v taskrouter-streams:/var/lib/taskrouter-streams taskrouter-streams

FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock build.rs ./
COPY src ./src
COPY config ./config
COPY benches ./benches
# Not built, but a member of the workspace.
COPY simulator ./simulator
ARG COMMIT=unknown
ENV TRS_BUILD_COMMIT=$COMMIT
RUN cargo build --release --locked --features opentelemetry --bin taskrouter-streams

FROM debian:bookworm-slim
# Twilio's certificates are checked against the system's roots.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o 65532 -g 65532 -m 0700 /var/lib/taskrouter-streams
COPY --from=build /build/target/release/taskrouter-streams /usr/local/bin/taskrouter-streams
# By number, so that Kubernetes can see that it is not root.
USER 65532:65532
WORKDIR /var/lib/taskrouter-streams
VOLUME /var/lib/taskrouter-streams
# Off loopback, so that probes and Prometheus reach it; the calls are shown with TRS__ADMIN__TOKEN only.
ENV TRS__ADMIN__LISTEN=0.0.0.0:9090 \
    TRS__JOURNAL__URL=sqlite:/var/lib/taskrouter-streams/journal.db \
    TRS__LOG__FORMAT=json
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["taskrouter-streams", "health", "--admin", "http://127.0.0.1:9090"]
ENTRYPOINT ["taskrouter-streams"]
CMD ["serve"]
