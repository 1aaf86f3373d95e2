"""Sources and sinks: files in and out, with their timestamps, colours, audio and metadata.

Nothing here knows of models; nothing else knows of containers and codecs.
"""
