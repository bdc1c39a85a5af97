"""Every reason a condition can have. Each has a page in docs/runbooks, which a test holds."""

from enum import StrEnum


class Reason(StrEnum):
    """One documented word for why a condition is what it is."""

    ALL_SITES_SERVE = "AllSitesServe"
    SITE_STARTING = "SiteStarting"
    SITE_NOT_READY = "SiteNotReady"
    SITE_UNREACHABLE = "SiteUnreachable"
    SITE_HELD_BACK = "SiteHeldBack"
    LINKS_MISSING = "LinksMissing"
    SITE_CATCHING_UP = "SiteCatchingUp"

    UP_TO_DATE = "UpToDate"
    ACTIONS_PENDING = "ActionsPending"
    ACTION_REFUSED = "ActionRefused"
    ACTION_FAILED = "ActionFailed"
    NOT_STALLED = "NotStalled"
    RESOURCE_UNREADABLE = "ResourceUnreadable"
    OPERATOR_FAILED = "OperatorFailed"

    ALL_LINKS_REPLICATE = "AllLinksReplicate"
    SINGLE_SITE = "SingleSite"
    LINK_CUT_OFF = "LinkCutOff"
    LINK_STUCK = "LinkStuck"
    LINK_INACTIVE = "LinkInactive"
    LINK_CATCHING_UP = "LinkCatchingUp"
    REPORT_MISSING = "ReportMissing"

    BACKLOG_NEARLY_FULL = "BacklogNearlyFull"
    BACKLOG_GROWS = "BacklogGrows"
    BACKLOGS_HAVE_ROOM = "BacklogsHaveRoom"

    FILES_EQUAL = "FilesEqual"
    FILES_TRANSFERRING = "FilesTransferring"
    FILES_FAULTY = "FilesFaulty"
    FILES_CUT_OFF = "FilesCutOff"

    BACKUPS_RECENT = "BackupsRecent"
    BACKUP_OVERDUE = "BackupOverdue"
    ARCHIVING_FAILS = "ArchivingFails"
    NO_BACKUP_YET = "NoBackupYet"

    CLOCKS_AGREE = "ClocksAgree"
    CLOCK_OFF = "ClockOff"

    NUMBERS_LEFT = "NumbersLeft"
    RANGE_NEARLY_USED = "RangeNearlyUsed"

    ROWS_DAMAGED = "RowsDamaged"
    ROWS_DIFFER = "RowsDiffer"
    ROWS_EQUAL = "RowsEqual"
    ROWS_PARKED = "RowsParked"
    TABLES_NOT_REPLICATED = "TablesNotReplicated"
    NOT_VERIFIED = "NotVerified"

    VOLUME_NEARLY_FULL = "VolumeNearlyFull"
    VOLUMES_HAVE_ROOM = "VolumesHaveRoom"
