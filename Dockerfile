# One image runs every part: `headworks up`, `headworks controller`, `headworks edge`, and the
# operator's commands. Build it with `docker build --tag headworks .`; try it with
#   docker run --publish 8080:8080 --publish 8081:8081 --publish 1935:1935 --publish 8554:8554 \
#     --publish 8000:8000/udp --volume headworks:/var/lib/headworks headworks
#
# It has PostgreSQL for `headworks up` only; a controller is given the URL of another one. FFmpeg is
# for edges: it makes AAC of other sound, encodes restreams, and reads files and fragmented MP4.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The queries are checked against .sqlx, so that no database is needed here.
ENV SQLX_OFFLINE=true
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package headworks \
    && install -D target/release/headworks /out/headworks

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates ffmpeg postgresql-15 \
    && rm -rf /var/lib/apt/lists/* /var/lib/postgresql/15 /etc/postgresql/15 \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/headworks headworks
COPY --from=build /out/headworks /usr/local/bin/headworks
COPY LICENSE /usr/share/doc/headworks/LICENSE
USER headworks
VOLUME /var/lib/headworks
EXPOSE 8080 8081 1935 8554 8000/udp
STOPSIGNAL SIGTERM
ENTRYPOINT ["headworks"]
CMD ["up", "--data", "/var/lib/headworks"]
