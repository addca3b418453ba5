"""Tools of a developer's own machine: embedded servers, the Procfile runner, `run`, `issue_token`."""
