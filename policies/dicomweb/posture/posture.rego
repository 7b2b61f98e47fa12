# METADATA
# title: Posture
# description: |
#   The state of the device, attribute by attribute, as its kind and the action demand (data.posture). What the class that is
#   demanded requires must be known; what is known must be fresh and good. The value of an attribute that is missing is not
#   judged: that it is missing is. Where several sources tell of an attribute, each of them has to say that it is good: a
#   device that reports itself bad is not covered by a management that has not noticed, nor the other way round. How fresh it
#   is, and how far it is trusted, is judged of the one that counts most. Claims that have expired do not come here.
package dicomweb.posture

# METADATA
# description: |
#   Whether the device is fit for an action, so that nothing of what follows denies: in good order by what is trusted
#   enough, or not asked about its state at all.
fit(action, posture) if {
	data.dicomweb.posture.meets(data.dicomweb.posture.demanded(action), action, posture)
}

# METADATA
# description: The same for a class that is demanded.
meets(class, action, posture) if {
	# The outcome of what follows where nothing is missing and one source tells of each attribute, at less cost.
	class.judged
	every attribute in posture {
		attribute.others == []
		attribute.expires_at > input.time
		attribute.expires_at < "9999"
		class.trusts[attribute.trust]
	}
	input.time > "2"
	posture.disk_encryption.value == true
	posture.firewall.value == true
	posture.malware_protection.value == true
	posture.screen_lock.value == true
	posture.patch_age_days.value >= 0
	posture.patch_age_days.value <= class.patch_age_days
} else if {
	class.exempt
} else if {
	data.dicomweb.posture.known(class, posture)
	data.dicomweb.posture.fresh(posture)
	data.dicomweb.posture.true_or_unknown(posture, "disk_encryption")
	data.dicomweb.posture.true_or_unknown(posture, "firewall")
	data.dicomweb.posture.true_or_unknown(posture, "malware_protection")
	data.dicomweb.posture.true_or_unknown(posture, "screen_lock")
	data.dicomweb.posture.recent_or_unknown(class, posture)
	data.dicomweb.posture.trusted(class, action, posture)
}

# METADATA
# description: |
#   The class that the kind of the asking device demands for an action. A device that data does not name, or names no kind
#   of, is a workstation.
demanded(action) := class if {
	class := data.dicomweb.prepared.demands[_kind][action]
} else := data.dicomweb.prepared.demands[_kind]["*"]

_kind := kind if {
	kind := data.dicomweb.prepared.subjects[input.subject.certificate.name].kind
} else := "workstation" if input.subject.certificate.name

# METADATA
# description: Whether everything that a class requires is known.
known(class, posture) if {
	is_object(posture)
	names := object.keys(posture)
	every name in class.required { name in names }
}

# METADATA
# description: |
#   Whether nothing that is known has expired. Times have one form, so they compare as text: what is not between two
#   texts is none.
fresh(posture) if {
	input.time > "2"
	every attribute in posture {
		attribute.expires_at > input.time
		attribute.expires_at < "9999"
	}
}

# METADATA
# description: Whether an attribute is not known, or true by every source.
true_or_unknown(posture, name) if {
	not posture[name]
} else if {
	posture[name].value == true
	is_array(posture[name].others)
	every claim in posture[name].others { claim.value == true }
}

# METADATA
# description: |
#   Whether the age of patches is not known, or within what the class says by every source. In Rego's order of types null
#   and booleans stand before numbers and strings behind them: only a number is between two.
recent_or_unknown(class, posture) if {
	not posture.patch_age_days
	class.patch_age_days
} else if {
	posture.patch_age_days.value >= 0
	posture.patch_age_days.value <= class.patch_age_days
	is_array(posture.patch_age_days.others)
	every claim in posture.patch_age_days.others {
		claim.value >= 0
		claim.value <= class.patch_age_days
	}
}

# METADATA
# description: |
#   Whether what a class requires is known from sources that are trusted enough. A word of trust that is not known is trusted
#   for nothing. A device's first key is exempt: no management can know a device that it has not seen.
trusted(class, action, posture) if {
	every name in class.required { class.trusts[posture[name].trust] }
} else if {
	action == "enrol_key"
	input.counters.enrolled_keys == 0
}

# METADATA
# title: An attribute of the device's posture is not known
# description: |
#   A required attribute of the device is not known, or no class can be read from data.posture for this kind of device and
#   this action, which is a mistake.
# custom:
#   code: posture-missing
#   remedy: Let the device report its posture and try again.
deny contains "posture-missing" if {
	not _exempt
	not _known
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
}

# METADATA
# title: The device's system is not patched
# description: The device's last update is longer ago than the class says that the action demands.
# custom:
#   code: posture-patches-old
#   remedy: Install the pending updates.
deny contains "posture-patches-old" if {
	not _exempt
	_class
	not _recently_patched
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
}

# METADATA
# title: What is known of the device was only said by itself
# description: |
#   The action demands that what is known of the device comes from a better source than the device's own word.
# custom:
#   code: posture-trust-too-low
#   remedy: This action needs a device that your site's management tells about.
deny contains "posture-trust-too-low" if {
	not _exempt
	not _trusted
	_known
}

# A class that is none has no entries.
_class := _demanded if {
	_demanded.required
}

_exempt if _demanded.exempt

_demanded := demanded(input.request.action)

_posture := input.device.posture if {
	is_object(input.device.posture)
} else := {}

_known if known(_class, _posture)

# An empty posture is not fresh either: nothing tells when it was said.
_fresh if {
	input.device.posture
	fresh(input.device.posture)
}

_disk_encrypted if _true.disk_encryption

_disk_encrypted if true_or_unknown(_posture, "disk_encryption")

_firewall_on if _true.firewall

_firewall_on if true_or_unknown(_posture, "firewall")

_malware_protected if _true.malware_protection

_malware_protected if true_or_unknown(_posture, "malware_protection")

_screen_locked if _true.screen_lock

_screen_locked if true_or_unknown(_posture, "screen_lock")

# Attributes that are true by the one source that tells of them: of these nothing more need be asked.
_true[name] := true if {
	some name, attribute in _posture
	attribute.value == true
	attribute.others == []
}

_recently_patched if recent_or_unknown(_class, _posture)

_trusted if trusted(_class, input.request.action, _posture)
