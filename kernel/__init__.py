"""What all apps share and none of them is about: no models, no domain words, imports no app."""
