//! Types that hold what is needed of an object, as resources of its kind.

/// Makes types whose metadata is the field `meta` resources of a kind: `[GENERICS] TYPE as KIND, SCOPE;`.
macro_rules! slim_resources {
    ($([$($generic:ident: $bound:path)?] $type:ty as $kind:ty, $scope:ident;)+) => {$(
        impl$(<$generic: $bound>)? kube::Resource for $type {
            type DynamicType = ();
            type Scope = k8s_openapi::$scope;

            fn kind((): &()) -> std::borrow::Cow<'_, str> {
                <$kind as kube::Resource>::kind(&())
            }
            fn group((): &()) -> std::borrow::Cow<'_, str> {
                <$kind as kube::Resource>::group(&())
            }
            fn version((): &()) -> std::borrow::Cow<'_, str> {
                <$kind as kube::Resource>::version(&())
            }
            fn plural((): &()) -> std::borrow::Cow<'_, str> {
                <$kind as kube::Resource>::plural(&())
            }
            fn meta(&self) -> &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                &self.meta
            }
            fn meta_mut(&mut self) -> &mut k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                &mut self.meta
            }
        }
    )+};
}
pub(crate) use slim_resources;
