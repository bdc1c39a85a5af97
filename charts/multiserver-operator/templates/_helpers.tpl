{{/* Name of every object; release names that hold the chart's name are not doubled. */}}
{{- define "multiserver-operator.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that pick the operator's pods. */}}
{{- define "multiserver-operator.selector" -}}
app.kubernetes.io/name: multiserver-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "multiserver-operator.labels" -}}
{{ include "multiserver-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "multiserver-operator.metadata" -}}
name: {{ include "multiserver-operator.fullname" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "multiserver-operator.labels" . | nindent 2 }}
{{- end -}}

{{/* What a binding grants its role to. */}}
{{- define "multiserver-operator.subjects" -}}
- kind: ServiceAccount
  name: {{ include "multiserver-operator.fullname" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}
