# Demands on devices, prepared:
# data.posture as a decision looks it up: classes that are whole, and by kind of device and action the name of the class
# that is demanded. Evaluated once, when policies are loaded: nothing here may look at input.
#
# What a kind demands of an action counts first, then what "*" demands of it, then what either demands of "*". So an
# action that is listed for every kind stays as it is until a kind lists it by itself.
package dicomweb.prepared

# METADATA
# description: |
#   By kind and action, the class that is demanded; "*" is of actions that are not listed. What demands a class that is none
#   is empty, which denies, and is not as "*" says.
demands := {kind: resolved |
	some kind in _kinds
	own := object.get(_tables, kind, {})
	every_kind := object.get(_tables, "*", {})
	otherwise := object.get(own, "*", object.get(every_kind, "*", null))
	resolved := {action: class |
		some action in _actions
		name := object.get(own, action, object.get(every_kind, action, otherwise))
		class := object.get(_classes, name, {})
	}
}

# One that requires nothing, or of which an entry is missing or malformed, is none. "none" is met without being looked at.
_classes := object.union(
	{name: class |
		some name, told in data.posture.classes
		is_array(told.required)
		count(told.required) > 0
		count([1 | some attribute in told.required; not is_string(attribute)]) == 0
		is_number(told.patch_age_days)
		class := {
			"required": told.required,
			"patch_age_days": told.patch_age_days,
			"trusts": _trusts[told.minimum_trust],
			"judged": count([1 | some attribute in told.required; not attribute in _judged]) == 0,
		}
	},
	{"none": {"exempt": true}},
)

# Words of trust that are enough for a minimum.
_trusts := {
	"reported": {"reported": true, "managed": true, "attested": true},
	"managed": {"managed": true, "attested": true},
	"attested": {"attested": true},
}

_judged := ["disk_encryption", "firewall", "malware_protection", "patch_age_days", "screen_lock"]

_tables := {kind: table |
	some kind, table in data.posture.demands
	is_object(table)
}

# Every kind that a device can be of: a kind of no table of its own is as "*" says.
_kinds := ({"workstation"} | {kind | some kind, _ in data.posture.demands}) | {kind |
	some profile in data.subjects
	kind := profile.kind
	is_string(kind)
}

_actions := {"*"} | {action | some table in _tables; some action, _ in table}
