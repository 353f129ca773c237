"""The gates of Linux, QEMU and Xen, one file a project, and the models that read them and the platform from logs."""
