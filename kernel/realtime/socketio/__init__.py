"""Engine.IO and Socket.IO on top of the hub."""
