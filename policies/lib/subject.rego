# METADATA
# title: What a subject holds
# description: |
#   Who the subject is, and its roles. A role counts only where it permits action and purpose together, so that the
#   rights of two roles never add up to one that neither gives. Profiles and roles are those of data.dicomweb.prepared.
package dicomweb.lib.subject

# METADATA
# description: |
#   By what the subject may do an action: what it holds, its roles that count, in the name of which purposes they are asked,
#   and what is attached to them. Undefined where no role counts, which denies.
grant(action) := found if {
	# The outcome of what follows where one role of the profile is all there is, at less cost.
	input.subject.roles == []
	held := data.dicomweb.lib.subject.held_by(input.subject.user, input.subject.certificate.name)
	role := data.dicomweb.prepared.roles[held.role]
	able := role.actions[action]
	purposes := data.dicomweb.lib.subject.purposes(role, input.request.purpose)
	action in input.subject.certificate.authority_actions
	data.dicomweb.lib.subject.open(role)
	found := {
		"bounds": held.bounds,
		"roles": [role],
		"purposes": purposes,
		"obligations": able.obligations,
		"masks": able.masks,
	}
} else := found if {
	chosen := data.dicomweb.lib.subject.roles(action)
	count(chosen) > 0
	held := holder
	found := {
		"bounds": held.bounds,
		"roles": chosen,
		"purposes": sort({purpose |
			some role in chosen
			some purpose in data.dicomweb.lib.subject.purposes(role, input.request.purpose)
		}),
		"obligations": sort({obligation | some role in chosen; some obligation in role.actions[action].obligations}),
		"masks": sort({obligation | some role in chosen; some obligation in role.actions[action].masks}),
	}
}

# METADATA
# description: The same of the action that is asked for.
granted := grant(input.request.action)

# METADATA
# description: |
#   What the site's data says that the subject holds. Where a user is named it is the user's, and never that of the
#   device's certificate. What is neither a user nor the explicit absence of one holds nothing.
held_by(user, name) := held if {
	user == null
	held := data.dicomweb.prepared.subjects[name]
} else := held if {
	held := data.dicomweb.prepared.users[user.id]
} else := held if {
	# Any other user of an issuer that this site trusts.
	is_string(user.id)
	held := data.dicomweb.prepared.users["*"]
}

# METADATA
# description: What the subject of this request holds.
holder := held_by(input.subject.user, input.subject.certificate.name)

# METADATA
# description: |
#   Purposes in whose name a role is asked: the one that is stated, which has to be the role's and the site's, and else the
#   role's own default.
purposes(role, stated) := role.unstated if {
	stated == null
} else := role.stated[stated.code]

# METADATA
# description: Whether a role counts now and from here (hours and network).
open(role) if {
	role.ungated
} else if {
	data.dicomweb.hours.open(role)
	data.dicomweb.network.open(role)
}

# METADATA
# description: |
#   Names of the subject's roles: those of its profile and those that certificate, token or directory say it has. Without
#   a profile it has none, whatever is said of it. A name that the site's data does not know gives nothing. What the
#   certificate says is said of the device, and gives its user nothing.
names := found if {
	held := holder
	is_array(input.subject.roles)
	said := {role.name |
		some role in input.subject.roles
		data.dicomweb.lib.subject.of_whom[role.source]
	}
	own := {name | some name in held.roles}
	found := own | said
}

# METADATA
# description: Sources whose roles are the subject's.
of_whom := {"certificate", "token", "directory"} if {
	input.subject.user == null
} else := {"token", "directory"}

# METADATA
# description: Roles by which an action may be done now and from here.
roles(action) := found if {
	able := data.dicomweb.lib.subject.permitting(action)
	found := [role |
		some role in able
		data.dicomweb.lib.subject.open(role)
	]
}

# METADATA
# description: |
#   Roles that permit an action for the purpose, at any hour and from anywhere, where the certificate's authority may ask
#   for that action.
permitting(action) := found if {
	action in input.subject.certificate.authority_actions
	found := [role |
		some name in names
		role := data.dicomweb.prepared.roles[name]
		role.actions[action]
		data.dicomweb.lib.subject.purposes(role, input.request.purpose)
	]
} else := []

# What follows is asked only to say why a request is denied.

# METADATA
# description: Roles that permit the action asked for, for its purpose.
permitted := permitting(input.request.action)

# METADATA
# description: Those of them that count now and from here. Without one the request is denied.
suited := roles(input.request.action)

# METADATA
# description: Roles that permit the action for some purpose.
acting := [role |
	input.request.action in input.subject.certificate.authority_actions
	some role in held
	role.actions[input.request.action]
]

# METADATA
# description: Roles that permit the purpose for some action.
purposeful := [role |
	some role in held
	data.dicomweb.lib.subject.purposes(role, input.request.purpose)
]

# METADATA
# description: Every role of the subject.
held := [data.dicomweb.prepared.roles[name] | some name in names]

# METADATA
# description: |
#   The roles by which an object is judged. Only suited ones can grant. Without one the request is denied for that, and
#   a wider choice keeps that denial from drawing others after it.
judged := suited if {
	count(suited) > 0
} else := permitted if {
	count(permitted) > 0
} else := acting if {
	count(acting) > 0
} else := held
