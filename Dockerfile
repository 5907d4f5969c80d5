# A service of the models in /models, on port 8080, as a user without rights on a read-only file system:
#   docker build -t i2i .
#   docker run --read-only --tmpfs /tmp -v "$PWD/models:/models:ro" -p 127.0.0.1:8080:8080 i2i
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY i2i i2i
COPY weights weights
ARG EXTRAS=serve
RUN python -m venv /opt/i2i && /opt/i2i/bin/pip install --no-cache-dir ".[$EXTRAS]"

FROM python:3.12-slim
COPY --from=build /opt/i2i /opt/i2i
RUN useradd --system --uid 10001 --no-create-home i2i && mkdir /models
ENV PATH=/opt/i2i/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/v2/health/ready', timeout=3)"]
ENTRYPOINT ["i2i", "serve"]
CMD ["/models", "--host", "0.0.0.0", "--watch"]
