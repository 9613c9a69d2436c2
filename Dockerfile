# The image: one binary on a small Debian, run by a user without rights, with all its data in /data.

FROM docker.io/oven/bun:1.4.5 AS build
WORKDIR /src
COPY package.json bun.lock bunfig.toml ./
RUN bun install --frozen-lockfile
COPY tsconfig.json ./
COPY src src
COPY drizzle drizzle
RUN bun run build

FROM docker.io/library/debian:bookworm-slim
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin condarium \
  && install --directory --mode 0700 --owner condarium --group condarium /data
COPY LICENSE /usr/share/doc/condarium/LICENSE
COPY --from=build /src/dist/condarium /usr/local/bin/condarium
ENV CONDARIUM_DATA=/data CONDARIUM_LISTEN=0.0.0.0:8080
# Numbers, so that a cluster can see that this is not root.
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["condarium", "health"]
ENTRYPOINT ["condarium"]
CMD ["serve"]
