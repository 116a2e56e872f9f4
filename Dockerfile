# syntax=docker/dockerfile:1
# The image of a gateway. There is nothing to build: Node runs the sources as they are. The first stage only installs the packages.
FROM node:24.21.0-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# The optional packages are Node itself, for machines that have none; the image has one.
RUN npm ci --omit=dev --omit=optional --ignore-scripts && npm cache clean --force

FROM node:24.21.0-bookworm-slim
LABEL org.opencontainers.image.title="Sluis" \
      org.opencontainers.image.description="Use-case middleware and AAA-proxy for FHIR on the Dutch Nuts network" \
      org.opencontainers.image.licenses="EUPL-1.2"
# /data is all that must be writable; /tmp may be an empty tmpfs. Everything else belongs to root and may be mounted read-only.
RUN mkdir --mode=0700 /data && chown 10001:10001 /data
WORKDIR /app
COPY --from=packages /app/node_modules node_modules
COPY package.json LICENSE openapi.yaml ./
COPY bin bin
COPY src src
COPY usecases usecases
ENV NODE_ENV=production \
    SLUIS_CONFIG=/etc/sluis/sluis.yaml \
    SLUIS_DATA_DIRECTORY=/data
USER 10001:10001
VOLUME /data
EXPOSE 7080 7081
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.SLUIS_INTERNAL__PORT ?? 7081}/health/live`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# The gateway is process 1 itself and hears SIGTERM; it drains for limits.drainMs, so give the container longer than that to stop.
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "--disable-warning=ExperimentalWarning", "--disable-proto=delete", "--max-old-space-size=256"]
CMD ["src/main.ts"]
