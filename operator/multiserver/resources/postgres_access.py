"""pg_hba.conf and pg_ident.conf: who may log in, from where and how he proves who he is."""

from multiserver.api.names import OPERATOR_CERTIFICATE_NAME, PEER_ROLE, SITE_CERTIFICATE_PREFIX
from multiserver.api.spec import Database

_ACCESS = """\
# The agent, through the socket that only the pod's own user reaches.
local   all         "postgres"  peer
# The other sites and the operator, by certificate; pg_ident.conf says which certificate may be which role. A site that
# joins copies the whole server (replication).
hostssl "{database}" "{peer}"  all  cert  map=sites
hostssl replication "{peer}" all  cert  map=sites
hostssl all         "postgres"  all  cert  map=operator
# The application.
hostssl "{database}" "{owner}"  all  scram-sha-256
# No one else.
local   all         all         reject
host    all         all         all  reject
"""

_IDENT = """\
# map     name in the certificate  role
sites     "/^{prefix}[-a-z0-9]+$"  "{peer}"
operator  "{operator}"             "postgres"
"""


def host_based_access(database: Database) -> str:
    """Give pg_hba.conf. Names are quoted, so that a database called `all` means just that."""
    return _ACCESS.format(database=database.name, owner=database.owner, peer=PEER_ROLE)


def certificate_names() -> str:
    """Give pg_ident.conf, the map from certificates to roles."""
    return _IDENT.format(prefix=SITE_CERTIFICATE_PREFIX, peer=PEER_ROLE, operator=OPERATOR_CERTIFICATE_NAME)
