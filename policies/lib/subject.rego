# METADATA
# title: What a subject holds
# description: |
#   Roles of the subject, from data. A role counts only where it permits action and purpose together, so that the rights
#   of two roles never add up to one that neither gives.
package dicomweb.lib.subject

profile := data.subjects[input.subject.certificate.name]

# METADATA
# description: Roles that permit the action asked for. Without one the request is denied.
suited := roles(input.request.action)

# METADATA
# description: |
#   Roles that permit an action for the purpose, where the certificate's authority may ask for that action. Without a
#   stated purpose each role's own default is taken.
roles(action) := [role |
	action in input.subject.certificate.authority_actions
	some name in data.subjects[input.subject.certificate.name].roles
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
held := [data.roles[name] | some name in profile.roles]

# METADATA
# description: |
#   The roles by which an object is judged. Only suited ones can grant. Without one the request is denied for that, and
#   a wider choice keeps that denial from drawing others after it.
judged := suited if {
	count(suited) > 0
} else := acting if {
	count(acting) > 0
} else := held
