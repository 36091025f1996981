# A slim image with one program, which runs without root.
#
#   docker build --build-arg COMMIT=$(git rev-parse --short=12 HEAD) --build-arg VERSION=0.1.0 -t taskrouter-streams .
#   docker run --env-file secrets.env -p 8080:8080 -v taskrouter-streams:/var/lib/taskrouter-streams taskrouter-streams

FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
ENV CARGO_INCREMENTAL=0
COPY .cargo ./.cargo
COPY Cargo.toml Cargo.lock ./
COPY simulator/Cargo.toml ./simulator/
# The dependencies alone: this layer is reused until a manifest changes. Empty sources stand in for ours, and to the end for those
# of the bench and the simulator, which are not built here.
RUN mkdir -p src benches/figures simulator/src \
    && echo 'fn main() {}' | tee src/main.rs benches/figures/main.rs simulator/src/main.rs simulator/src/lib.rs > src/lib.rs \
    && cargo build --release --locked --features opentelemetry --bin taskrouter-streams
COPY build.rs ./
COPY src ./src
COPY config ./config
ARG COMMIT=unknown
ENV TRS_BUILD_COMMIT=$COMMIT
# Our sources are older than what was built from the empty ones, so Cargo would not see that they changed.
RUN touch build.rs src/main.rs src/lib.rs \
    && cargo build --release --locked --features opentelemetry --bin taskrouter-streams \
    && strip --strip-debug --strip-unneeded target/release/taskrouter-streams

FROM debian:bookworm-slim
# Twilio's certificates are checked against the system's roots.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o 65532 -g 65532 -m 0700 /var/lib/taskrouter-streams
COPY --from=build /build/target/release/taskrouter-streams /usr/local/bin/taskrouter-streams
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/taskrouter-streams/
# A number, so that Kubernetes can verify that it is not root.
USER 65532:65532
WORKDIR /var/lib/taskrouter-streams
VOLUME /var/lib/taskrouter-streams
# Off loopback, so that probes and Prometheus reach it; calls are shown only with TRS__ADMIN__TOKEN.
ENV TRS__ADMIN__LISTEN=0.0.0.0:9090 \
    TRS__JOURNAL__URL=sqlite:/var/lib/taskrouter-streams/journal.db \
    TRS__LOG__FORMAT=json
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["taskrouter-streams", "health", "--admin", "http://127.0.0.1:9090"]
ENTRYPOINT ["taskrouter-streams"]
CMD ["serve"]
ARG COMMIT=unknown
ARG VERSION=unknown
LABEL org.opencontainers.image.title="taskrouter-streams" \
      org.opencontainers.image.description="Streams the customer's call leg for every Twilio Flex agent, across transfers" \
      org.opencontainers.image.source="https://github.com/taskrouter-streams/taskrouter-streams" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$COMMIT
