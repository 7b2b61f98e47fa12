"""The site's configuration: one TOML file, one frozen tree. Nothing else reads files or the environment for settings.

Every key has its unit in its name and a description, from which ``docs/configuration.md`` is generated. Paths
are relative to the file. Unknown keys, missing files and readable-by-others secrets end the start with the
key's name (exit status 2); nothing falls back.
"""

from proxy.config.site import Site, load_site, site_path

__all__ = ["Site", "load_site", "site_path"]
