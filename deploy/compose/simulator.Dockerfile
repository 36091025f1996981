# The simulated Twilio, for compose.yaml.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock build.rs ./
COPY src ./src
COPY config ./config
COPY simulator ./simulator
COPY fixtures/scenarios ./fixtures/scenarios
# The manifest names a bench, which is not built here.
RUN mkdir -p benches/figures && echo 'fn main() {}' > benches/figures/main.rs \
    && cargo build --release --locked --package twilio-simulator

FROM debian:bookworm-slim
COPY --from=build /build/target/release/twilio-simulator /usr/local/bin/twilio-simulator
USER 65532:65532
EXPOSE 4010
ENTRYPOINT ["twilio-simulator"]
CMD ["serve", "--listen", "0.0.0.0:4010"]
