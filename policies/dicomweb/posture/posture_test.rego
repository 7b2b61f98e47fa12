package dicomweb.posture_test

test_allow_when_the_device_is_in_good_order if {
	count(data.dicomweb.posture.deny) == 0 with input as data.dicomweb.lib.fixture.good
}

test_deny_when_input_is_empty if {
	data.dicomweb.posture.deny == {"posture-missing", "posture-stale"} with input as {}
}

test_deny_when_an_attribute_is_missing if {
	every name in ["disk_encryption", "firewall", "malware_protection", "patch_age_days", "screen_lock"] {
		data.dicomweb.posture.deny == {"posture-missing"} with input as data.dicomweb.lib.fixture.without(name)
	}
}

test_deny_when_nothing_is_required if {
	i := data.dicomweb.lib.fixture.good
	data.dicomweb.posture.deny == {"posture-missing"} with input as i
		with data.limits as {"posture": {"required": [], "patch_age_days": 30}}
}

test_deny_when_limits_are_missing if {
	i := data.dicomweb.lib.fixture.good
	data.dicomweb.posture.deny == {"posture-missing", "posture-patches-old"} with input as i with data.limits as {}
}

test_deny_when_an_attribute_has_expired if {
	i := data.dicomweb.lib.fixture.posture({"firewall": {"expires_at": "2026-11-22T19:40:00.122Z"}})
	data.dicomweb.posture.deny == {"posture-stale"} with input as i
}

test_deny_when_an_attribute_expires_now if {
	i := data.dicomweb.lib.fixture.posture({"firewall": {"expires_at": "2026-11-22T19:40:00.123Z"}})
	data.dicomweb.posture.deny == {"posture-stale"} with input as i
}

test_allow_when_an_attribute_expires_a_millisecond_later if {
	i := data.dicomweb.lib.fixture.posture({"firewall": {"expires_at": "2026-11-22T19:40:00.124Z"}})
	count(data.dicomweb.posture.deny) == 0 with input as i
}

test_deny_when_an_attribute_never_expires if {
	i := data.dicomweb.lib.fixture.posture({"firewall": 1})
	data.dicomweb.posture.deny == {"posture-firewall-off", "posture-stale"} with input as i
}

test_deny_when_a_value_is_not_good if {
	codes := {
		"disk_encryption": "posture-disk-unencrypted",
		"firewall": "posture-firewall-off",
		"malware_protection": "posture-malware-protection-off",
		"screen_lock": "posture-screen-unlocked",
	}
	every name, code in codes {
		every value in [false, "true", 1, null] {
			i := data.dicomweb.lib.fixture.posture({name: {"value": value}})
			data.dicomweb.posture.deny == {code} with input as i
		}
	}
}

test_deny_when_patches_are_old if {
	every value in [31, 100000, -1, "3", true, false, null, [], {}] {
		i := data.dicomweb.lib.fixture.posture({"patch_age_days": {"value": value}})
		data.dicomweb.posture.deny == {"posture-patches-old"} with input as i
	}
}

test_allow_when_patches_are_recent if {
	every value in [0, 30] {
		i := data.dicomweb.lib.fixture.posture({"patch_age_days": {"value": value}})
		count(data.dicomweb.posture.deny) == 0 with input as i
	}
}
