# Subjects, users and roles, prepared:
# What data.subjects, data.users and data.roles say, in the form in which a decision looks it up. Evaluated once, when
# policies are loaded: nothing here may look at input.
#
# A boundary is a list of names, or "*" for all. Bounds hold the names by dimension, for those dimensions alone that are
# bounded: what is neither "*" nor a list grants nothing. A list never grants the empty name, which stands for what an
# object does not name.
package dicomweb.prepared

# METADATA
# description: By certificate's name, what its subject holds.
subjects := {name: held |
	some name, profile in data.subjects
	held := _holder(profile)
}

# METADATA
# description: By "<issuer>/<sub>", what the user holds; "*" is any other user.
users := {id: held |
	some id, profile in data.users
	held := _holder(profile)
}

# METADATA
# description: Kinds of devices by certificate's name, where data names one; null where what it names is no kind.
kinds := {name: kind |
	some name, profile in data.subjects
	kind := _kind(object.get(_object(profile), "kind", "workstation"))
	kind != "workstation"
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
	}
	gates := {member: gate | some member in ["hours", "networks"]; gate := role[member]}
	prepared := object.union(object.union(fixed, unstated), gates)
}

# `role` is there where it is the only one: then it need not be looked for.
_holder(profile) := held if {
	is_object(profile)
	names := _list(object.get(profile, "roles", []))
	bounds := _bounds(profile, {"institutions": null, "departments": "*", "patients": "*"})
	own := {"roles": names, "bounds": bounds}
	held := object.union(own, {"role": name | count(names) == 1; some name in names})
} else := {"roles": [], "bounds": {"institutions": {}}}

_bounds(of, dimensions) := {dimension: names |
	some dimension, otherwise in dimensions
	boundary := object.get(of, dimension, otherwise)
	boundary != "*"
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

_object(value) := value if {
	is_object(value)
} else := {}

_kind(value) := value if {
	is_string(value)
} else := null
