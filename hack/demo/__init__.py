"""The demo: three sites on a real Kubernetes that hold each other's rows and files. Its parts serve the tests too."""
