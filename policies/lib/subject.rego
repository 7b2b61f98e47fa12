# METADATA
# title: What a subject holds
# description: |
#   Who the subject is, and its roles. A role counts only where it permits action and purpose together, so that the
#   rights of two roles never add up to one that neither gives.
package dicomweb.lib.subject

# METADATA
# description: |
#   What the site's data says of the subject: boundaries, and roles. Where a user is named it is the user's, and never
#   that of the device's certificate. What is neither a user nor the explicit absence of one has none.
profile := found if {
	input.subject.user == null
	found := data.subjects[input.subject.certificate.name]
} else := found if {
	found := data.users[input.subject.user.id]
} else := found if {
	# Any other user of an issuer that this site trusts.
	is_string(input.subject.user.id)
	found := data.users["*"]
}

# METADATA
# description: |
#   Names of the subject's roles: those of its profile and those that certificate, token or directory say it has. Without
#   a profile it has none, whatever is said of it. A name that the site's data does not know gives nothing. What the
#   certificate says is said of the device, and gives its user nothing.
names := found if {
	input.subject.roles == []
	found := profile.roles
} else := found if {
	# Not within what follows: a set of nothing would be a set.
	is_object(profile)
	is_array(input.subject.roles)
	said := {role.name |
		some role in input.subject.roles
		data.dicomweb.lib.subject.of_whom[role.source]
	}
	own := {name | some name in object.get(profile, "roles", [])}
	found := own | said
}

# METADATA
# description: Sources whose roles are the subject's.
of_whom := {"certificate", "token", "directory"} if {
	input.subject.user == null
} else := {"token", "directory"}

# METADATA
# description: Roles that permit the action asked for. Without one the request is denied.
suited := roles(input.request.action)

# METADATA
# description: |
#   Roles that permit an action for the purpose, where the certificate's authority may ask for that action. Without a
#   stated purpose each role's own default is taken.
roles(action) := [role |
	action in input.subject.certificate.authority_actions
	some name in names
	role := data.roles[name]
	action in role.actions
	_purpose(role) in role.purposes
]

_purpose(role) := role.default_purpose if {
	input.request.purpose == null
} else := code if {
	code := input.request.purpose.code
	data.purposes[code]
}

# What follows is asked only to say why a request is denied.

# METADATA
# description: Roles that permit the action for some purpose.
acting := [role |
	input.request.action in input.subject.certificate.authority_actions
	some role in held
	input.request.action in role.actions
]

# METADATA
# description: Roles that permit the purpose for some action.
purposeful := [role |
	some role in held
	_purpose(role) in role.purposes
]

# METADATA
# description: Every role of the subject.
held := [data.roles[name] | some name in names]

# METADATA
# description: |
#   The roles by which an object is judged. Only suited ones can grant. Without one the request is denied for that, and
#   a wider choice keeps that denial from drawing others after it.
judged := suited if {
	count(suited) > 0
} else := acting if {
	count(acting) > 0
} else := held
