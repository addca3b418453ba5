# Two images: `service`, which runs every process of the Procfile, and `proxy` (docker build --target proxy).
FROM python:3.11-slim AS build
ENV PYTHONDONTWRITEBYTECODE=1
WORKDIR /srv
RUN python -m venv /venv
COPY requirements.txt .
RUN /venv/bin/pip install --no-cache-dir --require-hashes --requirement requirements.txt
COPY . .
# The files of the admin and of /api-docs; the settings only have to load for this.
RUN DEBUG=true JWT_SECRET=only-for-this-step DATABASE_URL=postgresql://localhost/none REDIS_URL=redis://localhost \
    /venv/bin/python manage.py collectstatic --noinput

FROM nginxinc/nginx-unprivileged:1.28-alpine AS proxy
ENV PROXY_PORT=8080 STATIC_PARENT=/srv
COPY deploy/nginx/nginx.conf /etc/nginx/nginx.conf
COPY deploy/nginx/ticketservice.conf.template /etc/nginx/templates/default.conf.template
COPY --from=build /srv/staticfiles /srv/static
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["wget", "--quiet", "--output-document=/dev/null", "http://127.0.0.1:8080/health/live"]

FROM python:3.11-slim AS service
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --system --uid 10001 --no-create-home ticketservice
WORKDIR /srv
COPY --from=build /venv /venv
COPY --from=build /srv /srv
USER 10001
# Of `web`, on its own port; the other processes have checks of their own in docker-compose.yml and deploy/k8s.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ.get('PORT', 8000)}/health/live\", timeout=4)"]
# Starts a process of the Procfile by its name, or any other command: python manage.py createsuperuser
ENTRYPOINT ["/bin/sh", "-c", "line=$(sed -n \"s|^$0: ||p\" Procfile); [ \"$line\" ] || exec \"$0\" \"$@\"; eval \"exec $line\""]
CMD ["web"]
