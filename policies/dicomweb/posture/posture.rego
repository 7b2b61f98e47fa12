# METADATA
# title: Posture
# description: |
#   The state of the device, attribute by attribute. What is required must be known (data.limits.posture.required); what
#   is known must be fresh and good. The value of an attribute that is missing is not judged: that it is missing is.
#   Where several sources tell of an attribute, each of them has to say that it is good: a device that reports itself bad
#   is not covered by a management that has not noticed, nor the other way round. How fresh it is, and how far it is
#   trusted, is judged of the one that counts most. Claims that have expired do not come here.
package dicomweb.posture

# METADATA
# description: |
#   Whether the device is fit for an action, so that nothing of what follows denies: in good order by what is trusted
#   enough, or not asked about its state at all (data.limits.posture.exempt_actions).
fit(action, posture) if {
	# The outcome of what follows where nothing is missing and one source tells of each attribute, at less cost.
	count(data.limits.posture.required) > 0
	every name in data.limits.posture.required { posture[name] }
	now := time.parse_rfc3339_ns(input.time)
	every attribute in posture {
		attribute.others == []
		time.parse_rfc3339_ns(attribute.expires_at) > now
	}
	posture.disk_encryption.value == true
	posture.firewall.value == true
	posture.malware_protection.value == true
	posture.screen_lock.value == true
	posture.patch_age_days.value >= 0
	posture.patch_age_days.value <= data.limits.posture.patch_age_days
	data.dicomweb.posture.trusted(action, posture)
} else if {
	data.dicomweb.posture.in_order(posture)
	data.dicomweb.posture.trusted(action, posture)
} else if {
	action in data.limits.posture.exempt_actions
}

# METADATA
# description: Whether the device is in good order, by every source that tells of it.
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
	data.dicomweb.posture.undisputed(posture)
}

# METADATA
# description: Whether no source says of an attribute that it is bad, beside the one that counts most.
undisputed(posture) if {
	data.dicomweb.posture.all_true(object.get(posture, "disk_encryption", {"others": []}).others)
	data.dicomweb.posture.all_true(object.get(posture, "firewall", {"others": []}).others)
	data.dicomweb.posture.all_true(object.get(posture, "malware_protection", {"others": []}).others)
	data.dicomweb.posture.all_true(object.get(posture, "screen_lock", {"others": []}).others)
	data.dicomweb.posture.all_recent(object.get(posture, "patch_age_days", {"others": []}).others)
}

# METADATA
# description: Whether every claim of a list says true.
all_true(claims) if {
	is_array(claims)
	every claim in claims { claim.value == true }
}

# METADATA
# description: |
#   Whether every claim of a list says an age of patches within data.limits.posture.patch_age_days. In Rego's order of
#   types null and booleans stand before numbers and strings behind them: only a number is between two.
all_recent(claims) if {
	is_array(claims)
	every claim in claims {
		claim.value >= 0
		claim.value <= data.limits.posture.patch_age_days
	}
}

# METADATA
# description: |
#   Whether what is required is known from sources that are trusted enough for an action (data.limits.posture.minimum_trust,
#   by action or "*"; null: no minimum). A word that is not among the ranks, on either side, is trusted for nothing. A
#   device's first key is exempt: no management can know a device that it has not seen.
trusted(action, posture) if {
	object.get(data.limits.posture.minimum_trust, action, object.get(data.limits.posture.minimum_trust, "*", null)) == null
} else if {
	action == "enrol_key"
	input.counters.enrolled_keys == 0
} else if {
	asked := object.get(data.limits.posture.minimum_trust, "*", null)
	least := _ranks[object.get(data.limits.posture.minimum_trust, action, asked)]
	every name in data.limits.posture.required { _ranks[posture[name].trust] >= least }
}

_ranks := {"reported": 0, "managed": 1, "attested": 2}

# METADATA
# title: An attribute of the device's posture is not known
# description: A required attribute of the device is not known, or nothing is required, which is a mistake.
# custom:
#   code: posture-missing
#   remedy: Let the device report its posture and try again.
deny contains "posture-missing" if {
	not _exempt
	not _complete
}

# METADATA
# title: The device's posture has expired
# description: What is known of the device has expired, or when it expires cannot be read.
# custom:
#   code: posture-stale
#   remedy: Let the device report its posture and try again.
deny contains "posture-stale" if {
	not _exempt
	not _fresh
}

# METADATA
# title: The device's disk is not encrypted
# description: The device keeps its disk in the clear.
# custom:
#   code: posture-disk-unencrypted
#   remedy: Switch on disk encryption.
deny contains "posture-disk-unencrypted" if {
	not _exempt
	not _disk_encrypted
	input.device.posture.disk_encryption
}

# METADATA
# title: The device's system is not patched
# description: The device's last update is longer ago than data.limits.posture.patch_age_days.
# custom:
#   code: posture-patches-old
#   remedy: Install the pending updates.
deny contains "posture-patches-old" if {
	not _exempt
	not _recently_patched
	input.device.posture.patch_age_days
}

# Without a limit, which is a mistake, nothing is known to be recent.
deny contains "posture-patches-old" if {
	not _exempt
	not data.limits.posture.patch_age_days
}

# METADATA
# title: The device's screen does not lock
# description: The device does not lock its screen by itself.
# custom:
#   code: posture-screen-unlocked
#   remedy: Switch on the screen lock.
deny contains "posture-screen-unlocked" if {
	not _exempt
	not _screen_locked
	input.device.posture.screen_lock
}

# METADATA
# title: The device's firewall is off
# description: The device's firewall is off.
# custom:
#   code: posture-firewall-off
#   remedy: Switch on the firewall.
deny contains "posture-firewall-off" if {
	not _exempt
	not _firewall_on
	input.device.posture.firewall
}

# METADATA
# title: The device has no malware protection
# description: The device runs no protection against malware.
# custom:
#   code: posture-malware-protection-off
#   remedy: Switch it on.
deny contains "posture-malware-protection-off" if {
	not _exempt
	not _malware_protected
	input.device.posture.malware_protection
}

# METADATA
# title: What is known of the device was only said by itself
# description: |
#   The action demands that what is known of the device comes from a better source than the device's own word, or no
#   demand can be read from data.limits.posture.minimum_trust.
# custom:
#   code: posture-trust-too-low
#   remedy: This action needs a device that your site's management tells about.
deny contains "posture-trust-too-low" if {
	not _exempt
	not _trusted
	_complete
}

_exempt if input.request.action in data.limits.posture.exempt_actions

_trusted if data.dicomweb.posture.trusted(input.request.action, input.device.posture)

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

_recently_patched if {
	data.dicomweb.posture.all_recent([input.device.posture.patch_age_days])
	data.dicomweb.posture.all_recent(input.device.posture.patch_age_days.others)
}

_disk_encrypted if {
	input.device.posture.disk_encryption.value == true
	data.dicomweb.posture.all_true(input.device.posture.disk_encryption.others)
}

_firewall_on if {
	input.device.posture.firewall.value == true
	data.dicomweb.posture.all_true(input.device.posture.firewall.others)
}

_malware_protected if {
	input.device.posture.malware_protection.value == true
	data.dicomweb.posture.all_true(input.device.posture.malware_protection.others)
}

_screen_locked if {
	input.device.posture.screen_lock.value == true
	data.dicomweb.posture.all_true(input.device.posture.screen_lock.others)
}
