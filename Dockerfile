# The daemon in an image that holds nothing else. docs/operations.md says how it is run.
#
#     tests/static-binary x86_64
#     docker build --tag pushserver .
#
#     tests/static-binary aarch64
#     docker build --tag pushserver --platform linux/arm64 --build-arg ARCHITECTURE=aarch64 .
#
# tests/packages makes a root of the lines below, and tries it.

FROM scratch
ARG ARCHITECTURE=x86_64
COPY --chmod=755 target/${ARCHITECTURE}-unknown-linux-gnu/release/pushserver /pushserver
COPY --chmod=644 docs/package/container.json /etc/pushserver.json
USER 65534:65534
EXPOSE 8001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s CMD ["/pushserver", "--health", "http://127.0.0.1:8001"]
ENTRYPOINT ["/pushserver"]
CMD ["--config", "/etc/pushserver.json"]
