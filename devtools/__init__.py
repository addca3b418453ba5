"""What developers need on their own machine: embedded servers, the Procfile runner, `run`, `issue_token`. Not for production."""
