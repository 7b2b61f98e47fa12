# Subjects, users and roles, prepared:
# What data.subjects, data.users and data.roles say, in the form in which a decision looks it up. Evaluated once, when
# policies are loaded: nothing here may look at input.
#
# A boundary is a list of names, or "*" for all. Bounds hold the names by dimension, for those dimensions alone that are
# bounded: what is neither "*" nor a list grants nothing. A list never grants the empty name, which stands for what an
# object does not name.
package dicomweb.prepared

# METADATA
# description: By certificate's name, what its subject holds, and of which kind the device is; null is none.
subjects := {name: object.union(held, {"kind": kind}) |
	some name, profile in data.subjects
	held := _holder(profile)
	kind := _kind(profile)
}

# METADATA
# description: By "<issuer>/<sub>", what the user holds; "*" is any other user.
users := {id: held |
	some id, profile in data.users
	held := _holder(profile)
}

# METADATA
# description: |
#   By name: bounds; by action what is attached to it; by stated purpose, and without one, in whose name the role is asked;
#   hours and networks as data has them.
roles := {name: prepared |
	some name, role in data.roles
	is_object(role)
	fixed := {
		"bounds": _bounds(role, {"institutions": null, "departments": "*", "modalities": "*"}),
		"actions": {action: _able(role, action) | some action in _list(object.get(role, "actions", null))},
		"stated": {code: [code] |
			some code in _list(object.get(role, "purposes", null))
			data.purposes[code]
		},
		"ungated": count({member | some member in ["hours", "networks"]; _ := role[member]}) == 0,
	}
	unstated := {"unstated": [code] |
		code := role.default_purpose
		code in _list(object.get(role, "purposes", null))
		data.purposes[code]
	}
	gates := {member: gate | some member in ["hours", "networks"]; gate := role[member]}
	prepared := object.union(object.union(fixed, unstated), gates)
}

# METADATA
# description: |
#   By kind of device, reach of the holder and role: everything that follows from them for who asks by this role alone and
#   for its default purpose. What is not here is judged at greater length. A list has an entry where there is something to
#   be asked, and else none: `rated`, counts; `restricted`, consents of every patient; `looked`, the object, by the type of
#   the instance that is named: before its body is read nothing is known of a store; `rows`, whether
#   metadata may be asked for too; `everything`, whether the site's rules let every object be seen.
plans := {kind: by_reach |
	some kind, classes in demands
	by_reach := {reach: by_role |
		some reach in ["all", "some"]
		by_role := {name: plan |
			some name, role in roles
			role.ungated
			plan := {
				"bounds": role.bounds,
				"purposes": role.unstated,
				"rated": _rated,
				"restricted": _restricted,
				"actions": object.union(_of_objects(role, classes), _of_search(role, classes, reach)),
			}
		}
	}
}

_of_objects(role, classes) := {action: plan |
	some action, able in role.actions
	count({action} & {"search", "read_decision", "report_posture", "manage_posture"}) == 0
	class := object.get(classes, action, classes["*"])
	class.judged
	looked := {"null": [1 | action != "store"], "string": [1]}
	plan := {"obligations": able.obligations, "class": class, "looked": looked, "rows": [], "everything": []}
}

_of_search(role, classes, reach) := {"search": plan |
	able := role.actions.search
	masks := {mask | some mask in role.actions.metadata.masks}
	own := {obligation | some obligation in able.obligations} | masks
	class := object.get(classes, "search", classes["*"])
	class.judged
	role.actions.metadata
	everything := [1 | reach == "all"; role.bounds == {}; data.dicomweb.prepared.consent.open; not consented]

	# Where rows are not filtered, nobody asks for them what metadata demands of the device.
	count([1 | some _ in everything; object.get(classes, "metadata", classes["*"]) != class]) == 0
	filter := {{"type": "filter_rows"} | everything == []}
	attached := sort(own | filter)
	plan := {"obligations": attached, "class": class, "looked": _not_looked, "rows": [1], "everything": everything}
}

# METADATA
# description: Whether a role hides what it denies.
hiding if {
	some role in roles
	some able in role.actions
	{"type": "hide"} in able.obligations
}

# METADATA
# description: Whether a consent forbids something of any patient.
consented if {
	some _ in data.dicomweb.prepared.consent.forbidding
}

_not_looked := {"null": [], "string": []}

_rated := [] if {
	data.dicomweb.prepared.rates.unlimited
} else := [1]

_restricted := [] if {
	data.dicomweb.prepared.consent.open
} else := [1]

# `role` is there where it is the only one: then it need not be looked for. Who is held to patients has a search of theirs
# besides, and no plan.
_holder(profile) := held if {
	is_object(profile)
	names := _list(object.get(profile, "roles", []))
	bounds := _bounds(profile, {"institutions": null, "departments": "*", "patients": "*"})
	own := {"roles": names, "bounds": bounds}
	alone := {"role": name | count(names) == 1; some name in names}
	held := object.union(object.union(own, alone), {"reach": _reach(bounds)})
} else := {"roles": [], "bounds": {"institutions": {}}}

_reach(bounds) := "all" if {
	bounds == {}
} else := "patients" if {
	bounds.patient_id
} else := "some"

# By the member of the object that is bounded: so patients are a bound of `patient_id`.
_bounds(of, dimensions) := {member: names |
	some dimension, otherwise in dimensions
	boundary := object.get(of, dimension, otherwise)
	boundary != "*"
	member := object.get({"patients": "patient_id"}, dimension, dimension)
	names := {name: true | some name in _list(boundary); name != ""}
}

_able(role, action) := {"obligations": sort(attached), "masks": masks} if {
	attached := {obligation |
		some key in [action, "*"]
		some obligation in role.obligations[key]
	}
	masks := [obligation | some obligation in sort(attached); obligation.type == "mask"]
}

# Each text of a list once; nothing of what is no list.
_list(value) := texts if {
	is_array(value)
	found := {text | some text in value; is_string(text)}
	texts := sort(found)
} else := []

# A profile that names no kind is of a workstation.
_kind(profile) := kind if {
	is_object(profile)
	kind := object.get(profile, "kind", "workstation")
	is_string(kind)
} else := null
