# METADATA
# title: Posture
# description: |
#   The state of the device, attribute by attribute. What is required must be known (data.limits.posture.required); what
#   is known must be fresh and good. The value of an attribute that is missing is not judged: that it is missing is.
package dicomweb.posture

# METADATA
# description: Whether the device is in good order, so that nothing of what follows denies.
in_order(posture) if {
	count(data.limits.posture.required) > 0
	known := object.keys(posture)
	every name in data.limits.posture.required { name in known }
	now := time.parse_rfc3339_ns(input.time)
	every attribute in posture { time.parse_rfc3339_ns(attribute.expires_at) > now }
	object.get(posture, "disk_encryption", {"value": true}).value == true
	object.get(posture, "firewall", {"value": true}).value == true
	object.get(posture, "malware_protection", {"value": true}).value == true
	object.get(posture, "screen_lock", {"value": true}).value == true
	object.get(posture, "patch_age_days", {"value": 0}).value >= 0
	object.get(posture, "patch_age_days", {"value": 0}).value <= data.limits.posture.patch_age_days
}

# METADATA
# title: Posture missing
# description: A required attribute of the device is not known, or nothing is required, which is a mistake.
# custom:
#   code: posture-missing
deny contains "posture-missing" if not _complete

# METADATA
# title: Posture stale
# description: What is known of the device has expired, or when it expires cannot be read.
# custom:
#   code: posture-stale
deny contains "posture-stale" if not _fresh

# METADATA
# title: Disk not encrypted
# description: The device keeps its disk in the clear.
# custom:
#   code: posture-disk-unencrypted
deny contains "posture-disk-unencrypted" if {
	not input.device.posture.disk_encryption.value == true
	input.device.posture.disk_encryption
}

# METADATA
# title: Patches old
# description: The device's last update is longer ago than data.limits.posture.patch_age_days.
# custom:
#   code: posture-patches-old
deny contains "posture-patches-old" if {
	not _recently_patched
	input.device.posture.patch_age_days
}

# Without a limit, which is a mistake, nothing is known to be recent.
deny contains "posture-patches-old" if not data.limits.posture.patch_age_days

# METADATA
# title: Screen not locked
# description: The device does not lock its screen by itself.
# custom:
#   code: posture-screen-unlocked
deny contains "posture-screen-unlocked" if {
	not input.device.posture.screen_lock.value == true
	input.device.posture.screen_lock
}

# METADATA
# title: Firewall off
# description: The device's firewall is off.
# custom:
#   code: posture-firewall-off
deny contains "posture-firewall-off" if {
	not input.device.posture.firewall.value == true
	input.device.posture.firewall
}

# METADATA
# title: Malware protection off
# description: The device runs no protection against malware.
# custom:
#   code: posture-malware-protection-off
deny contains "posture-malware-protection-off" if {
	not input.device.posture.malware_protection.value == true
	input.device.posture.malware_protection
}

_complete if {
	count(data.limits.posture.required) > 0
	known := object.keys(input.device.posture)
	every name in data.limits.posture.required { name in known }
}

# A time that is not RFC 3339 is undefined in one engine and an error in the other: both deny.
_fresh if {
	now := time.parse_rfc3339_ns(input.time)
	every attribute in input.device.posture { time.parse_rfc3339_ns(attribute.expires_at) > now }
}

# In Rego's order of types null and booleans stand before numbers and strings behind them: only a number is between two.
_recently_patched if {
	input.device.posture.patch_age_days.value >= 0
	input.device.posture.patch_age_days.value <= data.limits.posture.patch_age_days
}
