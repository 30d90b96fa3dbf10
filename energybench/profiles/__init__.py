"""Device profiles: one JSON file per fit, validated, with everything an estimate needs and where it came from."""

from energybench.profiles.coefficient import Coefficient
from energybench.profiles.difference import CoefficientDifference, diff_profiles
from energybench.profiles.export import export_profile
from energybench.profiles.profile import DeviceProfile, RecordsSource
from energybench.profiles.report import ProfileListing, list_profiles, show_profile, validate_profile
from energybench.profiles.store import profile_directories, user_profile_directory

__all__ = [
    "Coefficient",
    "CoefficientDifference",
    "DeviceProfile",
    "ProfileListing",
    "RecordsSource",
    "diff_profiles",
    "export_profile",
    "list_profiles",
    "profile_directories",
    "show_profile",
    "user_profile_directory",
    "validate_profile",
]
