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
		with data.posture as data.dicomweb.lib.fixture.class_of({"required": []})
}

test_deny_when_no_class_is_demanded if {
	i := data.dicomweb.lib.fixture.good
	every posture in [{}, {"classes": {}}, {"demands": {"*": {"*": "reading"}}}, {"classes": {"a": 1}, "demands": {"*": {"*": "a"}}}, null] {
		data.dicomweb.authz.decision == _denied("posture-missing") with input as i with data.posture as posture
	}
}

test_deny_when_a_class_is_malformed if {
	i := data.dicomweb.lib.fixture.good
	every changes in [
		{"required": "firewall"}, {"required": [1]}, {"required": null}, {"patch_age_days": "30"}, {"patch_age_days": null},
		{"minimum_trust": "root"}, {"minimum_trust": null}, {"minimum_trust": ""},
	] {
		p := data.dicomweb.lib.fixture.class_of(changes)
		data.dicomweb.authz.decision == _denied("posture-missing") with input as i with data.posture as p
	}
}

# What demands a class that is none is not as "*" says.
test_deny_when_the_class_of_the_action_is_none if {
	p := data.dicomweb.lib.fixture.demanding({"metadata": "nonsense"})
	data.dicomweb.authz.decision == _denied("posture-missing") with input as data.dicomweb.lib.fixture.good with data.posture as p
}

_kind(kind) := {"urn:dicomward:device:radiologist": {"roles": ["radiologist"], "institutions": "*", "kind": kind}}

# What its kind demands of the action, then what every kind does, then what its kind demands of anything.
test_deny_when_the_kind_of_device_demands_more if {
	i := data.dicomweb.lib.fixture.good
	every tables in [
		{"viewer": {"metadata": "managed"}, "*": {"metadata": "reported"}},
		{"viewer": {"*": "managed"}, "*": {"*": "reported"}},
		{"viewer": {"*": "reported"}, "*": {"metadata": "managed"}},
	] {
		p := object.union(data.dicomweb.lib.fixture.demanding({}), {"demands": tables})
		q := {"classes": p.classes, "demands": tables}
		data.dicomweb.authz.decision == _denied("posture-trust-too-low") with input as i
			with data.posture as q
			with data.subjects as _kind("viewer")
	}
}

test_allow_when_another_kind_demands_more if {
	i := data.dicomweb.lib.fixture.good
	q := object.union(data.dicomweb.lib.fixture.demanding({}), {"demands": {"viewer": {"*": "managed"}}})
	data.dicomweb.authz.allow with input as i with data.posture as q with data.subjects as _kind("console")
	data.dicomweb.authz.allow with input as i with data.posture as q
}

test_deny_when_a_device_without_kind_is_a_workstation if {
	i := data.dicomweb.lib.fixture.good
	q := object.union(data.dicomweb.lib.fixture.demanding({}), {"demands": {"workstation": {"*": "managed"}}})
	data.dicomweb.authz.decision == _denied("posture-trust-too-low") with input as i with data.posture as q
	j := data.dicomweb.lib.fixture.by_user("dev/clinician", [], "metadata")
	data.dicomweb.authz.decision == _denied("posture-trust-too-low") with input as j
		with data.posture as q
		with data.subjects as {}
}

test_deny_when_the_kind_is_no_text if {
	i := data.dicomweb.lib.fixture.good
	every kind in [null, 1, ["workstation"], {}] {
		data.dicomweb.authz.decision == _denied("posture-missing") with input as i with data.subjects as _kind(kind)
	}
}

# Shipped: a study needs more than reading metadata.
test_deny_when_patches_are_too_old_for_a_study if {
	i := data.dicomweb.lib.fixture.posture({"patch_age_days": {"value": 31}})
	data.dicomweb.authz.allow with input as i
	every action in ["retrieve", "render", "bulkdata"] {
		j := object.union(i, {"request": {"action": action}})
		data.dicomweb.authz.decision == _denied("posture-patches-old") with input as j
	}
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
	data.dicomweb.posture.deny == {"posture-firewall-off", "posture-stale", "posture-trust-too-low"} with input as i
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
	every value in [91, 100000, -1, "3", true, false, null, [], {}] {
		i := data.dicomweb.lib.fixture.posture({"patch_age_days": {"value": value}})
		data.dicomweb.posture.deny == {"posture-patches-old"} with input as i
	}
}

test_allow_when_patches_are_recent if {
	every value in [0, 90] {
		i := data.dicomweb.lib.fixture.posture({"patch_age_days": {"value": value}})
		count(data.dicomweb.posture.deny) == 0 with input as i
	}
}

_codes := {
	"disk_encryption": "posture-disk-unencrypted",
	"firewall": "posture-firewall-off",
	"malware_protection": "posture-malware-protection-off",
	"patch_age_days": "posture-patches-old",
	"screen_lock": "posture-screen-unlocked",
}

_goods := {"disk_encryption": true, "firewall": true, "malware_protection": true, "patch_age_days": 3, "screen_lock": true}

_claims(name, values) := data.dicomweb.lib.fixture.posture({name: {"others": [claim |
	some value in values
	claim := data.dicomweb.lib.fixture.claim(value, "managed")
]}})

_denied(code) := {"allow": false, "reasons": [code], "obligations": []}

test_allow_when_every_source_says_good if {
	every name, good in _goods {
		i := _claims(name, [good, good])
		data.dicomweb.authz.allow with input as i
		count(data.dicomweb.posture.deny) == 0 with input as i
	}
}

test_deny_when_another_source_says_bad if {
	every name, code in _codes {
		every value in [false, "true", -1, 91, null] {
			i := _claims(name, [_goods[name], value])
			data.dicomweb.authz.decision == _denied(code) with input as i
		}
	}
}

# The management has not noticed yet; and the other way round.
test_deny_when_the_winner_says_bad_and_others_say_good if {
	every name, code in _codes {
		bad := {name: {"value": false, "others": [data.dicomweb.lib.fixture.claim(_goods[name], "managed")]}}
		i := data.dicomweb.lib.fixture.posture(bad)
		data.dicomweb.authz.decision == _denied(code) with input as i
	}
}

test_deny_when_others_are_missing_or_no_list if {
	every name, code in _codes {
		every others in [null, {}, "", 0, false, {"a": {"value": true}}] {
			i := data.dicomweb.lib.fixture.posture({name: {"others": others}})
			data.dicomweb.authz.decision == _denied(code) with input as i
		}
		g := data.dicomweb.lib.fixture.good
		p := object.union(object.remove(g.device.posture, [name]), {name: object.remove(g.device.posture[name], ["others"])})
		i := object.union(object.remove(g, ["device"]), {"device": {"id": "ab", "posture": p}})
		data.dicomweb.authz.decision == _denied(code) with input as i
	}
}

test_allow_when_another_source_tells_of_what_is_not_judged if {
	a := object.union(data.dicomweb.lib.fixture.attribute("linux"), {"others": [data.dicomweb.lib.fixture.claim("bsd", "managed")]})
	data.dicomweb.authz.allow with input as data.dicomweb.lib.fixture.posture({"os_name": a})
}

test_allow_when_only_another_claim_has_expired if {
	old := object.union(data.dicomweb.lib.fixture.claim(true, "managed"), {"expires_at": "2026-11-22T19:00:00.000Z"})
	data.dicomweb.authz.allow with input as data.dicomweb.lib.fixture.posture({"firewall": {"others": [old]}})
}

test_deny_when_the_winner_has_expired_and_others_have_not if {
	a := {"expires_at": "2026-11-22T19:40:00.123Z", "others": [data.dicomweb.lib.fixture.claim(true, "managed")]}
	i := data.dicomweb.lib.fixture.posture({"firewall": a})
	data.dicomweb.authz.decision == _denied("posture-stale") with input as i
}

test_allow_when_an_attribute_is_not_required_and_not_known if {
	i := data.dicomweb.lib.fixture.without("firewall")
	l := data.dicomweb.lib.fixture.class_of({"required": ["disk_encryption"]})
	data.dicomweb.authz.allow with input as i with data.posture as l
}

_trusts(words) := data.dicomweb.lib.fixture.posture({name: {"trust": word} | some name, word in words})

_all(word) := _trusts({name: word | some name, _ in _goods})

_at_least(minimum) := data.dicomweb.lib.fixture.demanding(minimum)

_low := _denied("posture-trust-too-low")

test_allow_when_the_trust_is_enough if {
	every word in ["managed", "attested"] {
		i := _all(word)
		data.dicomweb.authz.allow with input as i with data.posture as _at_least({"metadata": "managed"})
		data.dicomweb.authz.allow with input as i with data.posture as _at_least({"*": "managed"})
	}
}

test_allow_when_no_trust_is_demanded if {
	every minimum in [{}, {"retrieve": "attested"}, {"*": "attested", "metadata": "reported"}, {"*": "attested", "metadata": "none"}] {
		data.dicomweb.authz.allow with input as data.dicomweb.lib.fixture.good with data.posture as _at_least(minimum)
	}
}

test_deny_when_the_trust_is_too_low if {
	i := data.dicomweb.lib.fixture.good
	every minimum in [{"metadata": "managed"}, {"*": "managed"}, {"*": "attested"}, {"*": "reported", "metadata": "attested"}] {
		data.dicomweb.authz.decision == _low with input as i with data.posture as _at_least(minimum)
	}
}

test_deny_when_one_attribute_is_trusted_too_little if {
	every name, _ in _goods {
		i := object.union(_all("managed"), {"device": {"posture": {name: {"trust": "reported"}}}})
		data.dicomweb.authz.decision == _low with input as i with data.posture as _at_least({"*": "managed"})
	}
}

# Another source that is trusted more does not help: what counts is the winner.
test_deny_when_only_another_claim_is_trusted_enough if {
	i := object.union(_all("managed"), {"device": {"posture": {"firewall": {
		"trust": "reported",
		"others": [data.dicomweb.lib.fixture.claim(true, "attested")],
	}}}})
	data.dicomweb.authz.decision == _low with input as i with data.posture as _at_least({"*": "managed"})
}

test_deny_when_a_word_of_trust_is_unknown if {
	every word in ["", "Managed", "root", null, 9, true] {
		data.dicomweb.authz.decision == _low with input as _all(word) with data.posture as _at_least({"*": "reported"})
	}
}

test_deny_when_trust_is_missing if {
	g := data.dicomweb.lib.fixture.good
	p := {name: object.remove(a, ["trust"]) | some name, a in g.device.posture}
	i := object.union(object.remove(g, ["device"]), {"device": {"id": "ab", "posture": p}})
	data.dicomweb.authz.decision == _low with input as i with data.posture as _at_least({"*": "reported"})
}

test_deny_when_minimum_trust_is_missing if {
	p := {"classes": {"one": object.remove(data.dicomweb.lib.fixture.class({}), ["minimum_trust"])}, "demands": {"*": {"*": "one"}}}
	data.dicomweb.authz.decision == _denied("posture-missing") with input as data.dicomweb.lib.fixture.good with data.posture as p
}

_fit(action, counters) if {
	i := object.union(data.dicomweb.lib.fixture.good, {"request": {"action": action}, "counters": counters})
	data.dicomweb.posture.fit(action, i.device.posture) with input as i
}

_demanding contains action if {
	some action in ["enrol_key", "share_create"]
	i := object.union(data.dicomweb.lib.fixture.good, {"request": {"action": action}})
	"posture-trust-too-low" in data.dicomweb.posture.deny with input as i
}

test_deny_when_keys_and_shares_rest_on_the_devices_word if {
	_demanding == {"enrol_key", "share_create"}
	every counters in [{}, {"enrolled_keys": 1}, {"enrolled_keys": "0"}, {"enrolled_keys": null}] {
		i := object.union(data.dicomweb.lib.fixture.good, {"request": {"action": "enrol_key"}, "counters": counters})
		data.dicomweb.posture.deny == {"posture-trust-too-low"} with input as i
	}
}

test_allow_when_the_key_is_the_first if {
	_fit("enrol_key", {"enrolled_keys": 0})
	i := object.union(data.dicomweb.lib.fixture.good, {"request": {"action": "enrol_key"}, "counters": {"enrolled_keys": 0}})
	count(data.dicomweb.posture.deny) == 0 with input as i
}

test_deny_when_a_first_key_does_not_excuse_a_share if {
	c := {"request": {"action": "share_create"}, "counters": {"enrolled_keys": 0}}
	i := object.union(data.dicomweb.lib.fixture.good, c)
	data.dicomweb.posture.deny == {"posture-trust-too-low"} with input as i
}

test_allow_when_the_action_is_exempt if {
	every action in ["read_decision", "report_posture", "manage_posture"] {
		i := object.remove(data.dicomweb.lib.fixture.own("manager", action), ["device"])
		count(data.dicomweb.posture.deny) == 0 with input as i
		data.dicomweb.posture.fit(action, {}) with input as i
	}
}

test_deny_when_nothing_is_exempt if {
	q := data.dicomweb.lib.fixture.own("manager", "manage_posture")
	i := object.union(q, {"device": {"posture": {"firewall": {"value": false}}}})
	data.dicomweb.authz.allow with input as i
	p := data.dicomweb.lib.fixture.demanding({})
	data.dicomweb.authz.decision == _denied("posture-firewall-off") with input as i with data.posture as p
}

test_deny_when_the_posture_is_no_object if {
	g := object.remove(data.dicomweb.lib.fixture.good, ["device"])
	every posture in [null, "", "firewall", 0, true, []] {
		i := object.union(g, {"device": {"id": "ab", "posture": posture}})
		data.dicomweb.authz.allow == false with input as i
		"posture-missing" in data.dicomweb.authz.reasons with input as i
	}
}
