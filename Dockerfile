FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /srv
COPY requirements.txt .
RUN pip install --no-cache-dir --requirement requirements.txt && useradd --system --create-home ticketservice
COPY . .
# The files of the admin and of /api-docs; the settings only have to load for this.
RUN DEBUG=true JWT_SECRET=only-for-this-step DATABASE_URL=postgresql://localhost/none REDIS_URL=redis://localhost \
    python manage.py collectstatic --noinput
USER ticketservice
# Starts a process of the Procfile by its name.
ENTRYPOINT ["/bin/sh", "-c", "eval \"exec $(sed -n \"s/^$0: //p\" Procfile)\""]
CMD ["web"]
